"""Pressure stall information (accounting/psi): how long tasks waited for CPU, memory or I/O.

A kernel can have PSI and keep it off (CONFIG_PSI_DEFAULT_DISABLED, or psi=0): then /proc/pressure is missing, or
reading raises OSError with EOPNOTSUPP.
"""

from dataclasses import dataclass
from pathlib import Path

RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Stall:
    """Share of the last 10, 60 and 300 seconds in percent, and microseconds since boot (or since the cgroup began)."""

    avg10: float
    avg60: float
    avg300: float
    total_us: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """`some`: at least one task waited. `full`: all of them did; None where the kernel does not tell (CPU, < 5.13)."""

    some: Stall
    full: Stall | None


def parse(text: str) -> Pressure:
    """A pressure file, of the machine or of a cgroup. Malformed text raises ValueError."""
    stalls: dict[str, Stall] = {}
    for line in text.splitlines():
        kind, *pairs = line.split(" ")
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        try:
            stalls[kind] = Stall(
                float(values["avg10"]), float(values["avg60"]), float(values["avg300"]), int(values["total"])
            )
        except (KeyError, ValueError) as e:
            raise ValueError(f"not a line of a pressure file: {line!r}") from e
    if "some" not in stalls:
        raise ValueError(f"a pressure file without a line 'some': {text!r}")
    return Pressure(some=stalls["some"], full=stalls.get("full"))


def read(resource: str, proc: Path = Path("/proc")) -> Pressure:
    """Pressure of the whole machine on "cpu", "memory" or "io"."""
    return parse((proc / "pressure" / resource).read_text(encoding="ascii"))
