"""Interrupts and the CPUs they may go to (core-api/irq/irq-affinity), from /proc/irq. Reads only."""

from dataclasses import dataclass
from pathlib import Path

from mlosd.kernel import cpulist


@dataclass(frozen=True, slots=True)
class Irq:
    """`allowed`: what was asked for. `effective`: where it really goes; None where the kernel does not tell."""

    number: int
    allowed: tuple[int, ...]
    effective: tuple[int, ...] | None
    actions: tuple[str, ...]

    @property
    def affinity_file(self) -> str:
        """The file that moves it, below /proc. Some refuse (EIO, EPERM), and only the write itself tells."""
        return f"irq/{self.number}/smp_affinity_list"


def read(proc: Path = Path("/proc")) -> tuple[Irq, ...]:
    """Every interrupt, by number. One that goes away while we look is left out."""
    numbers = sorted(int(entry.name) for entry in (proc / "irq").glob("[0-9]*"))
    found = (_irq(proc / "irq" / str(number), number) for number in numbers)
    return tuple(irq for irq in found if irq is not None)


def _irq(directory: Path, number: int) -> Irq | None:
    allowed = _cpus(directory / "smp_affinity_list")
    if allowed is None:
        return None
    return Irq(
        number=number,
        allowed=allowed,
        effective=_cpus(directory / "effective_affinity_list"),
        # Each handler has a directory of its name; the others are files.
        actions=tuple(sorted(entry.name for entry in directory.glob("*") if entry.is_dir())),
    )


def _cpus(file: Path) -> tuple[int, ...] | None:
    try:
        return cpulist.parse(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
