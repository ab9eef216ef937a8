"""How much memory the machine has, from /proc/meminfo (proc_meminfo(5)). Bytes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Meminfo:
    total: int
    free: int
    available: int
    swap_total: int
    swap_free: int


def parse(text: str) -> Meminfo:
    """The lines that mlosd uses. One that is missing or has no number raises ValueError."""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def size(name: str) -> int:
        try:
            number, unit = lines[name].split()
            if unit != "kB":
                raise ValueError(unit)
            return int(number) * 1024
        except (KeyError, ValueError) as e:
            raise ValueError(f"no size {name!r} in meminfo: {lines.get(name)!r}") from e

    return Meminfo(
        total=size("MemTotal"),
        free=size("MemFree"),
        available=size("MemAvailable"),
        swap_total=size("SwapTotal"),
        swap_free=size("SwapFree"),
    )


def read(proc: Path = Path("/proc")) -> Meminfo:
    return parse((proc / "meminfo").read_text(encoding="ascii"))
