"""CPU frequency policies (admin-guide/pm/cpufreq): one per group of CPUs that change speed together. Reads only."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Policy:
    """One cpufreq policy. `epp`: the energy performance preference, None where the driver has none."""

    directory: Path
    governor: str
    governors: tuple[str, ...]
    epp: str | None
    epps: tuple[str, ...]


def policies(sys: Path = Path("/sys")) -> tuple[Policy, ...]:
    """Every policy. Empty where the kernel does not control the speed, as in most virtual machines."""
    directories = (sys / "devices/system/cpu/cpufreq").glob("policy[0-9]*")
    return tuple(_policy(directory) for directory in sorted(directories, key=_number))


def _policy(directory: Path) -> Policy:
    return Policy(
        directory=directory,
        governor=_word(directory / "scaling_governor"),
        governors=_words(directory / "scaling_available_governors"),
        epp=next(iter(_words(directory / "energy_performance_preference")), None),
        epps=_words(directory / "energy_performance_available_preferences"),
    )


def _number(directory: Path) -> int:
    return int(directory.name.removeprefix("policy"))


def _word(file: Path) -> str:
    words = file.read_text(encoding="ascii").split()
    if len(words) != 1:
        raise ValueError(f"{file}: not one word: {words}")
    return words[0]


def _words(file: Path) -> tuple[str, ...]:
    try:
        return tuple(file.read_text(encoding="ascii").split())
    except FileNotFoundError:
        return ()
