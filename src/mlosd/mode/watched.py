"""Which file tells that a target was changed, and how often somebody may change it back. Pure."""

from collections import Counter
from pathlib import Path

from mlosd.mode.scene import Host

# What systemd writes a property into (admin-guide/cgroup-v2).
_OF_PROPERTY = {
    "CPUWeight": "cpu.weight",
    "CPUQuotaPerSecUSec": "cpu.max",
    "AllowedCPUs": "cpuset.cpus",
    "IOWeight": "io.weight",
    "MemoryLow": "memory.low",
    "MemoryHigh": "memory.high",
}
_FILES = frozenset({"text", "choice", "mask", "cpulist"})


def files(kind: str, target: str, host: Host) -> list[Path]:
    """The files in which a change of this target by another program shows."""
    if kind in _FILES:
        return [Path(target)]
    if kind == "pair":
        return [Path(f"{target}_bytes"), Path(f"{target}_ratio")]
    if kind == "unit":
        unit, _, name = target.partition(" ")
        return [host.cgroups / slice_path(unit) / _OF_PROPERTY[name]] if name in _OF_PROPERTY else []
    return []


def slice_path(unit: str) -> Path:
    """The cgroup of a slice: "mlos-ci.slice" is "mlos.slice/mlos-ci.slice" (systemd.slice(5)). Others: at the top."""
    name, dot, suffix = unit.rpartition(".")
    if suffix != "slice" or name == "-":
        return Path(unit)
    parts = name.split("-")
    return Path(*("-".join(parts[: i + 1]) + dot + suffix for i in range(len(parts))))


class Fights:
    """Counts how often each target was changed behind our back. After `most` times it is left to whoever insists."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lost: Counter[tuple[str, str]] = Counter()

    def go_on(self, key: tuple[str, str]) -> bool:
        """It was changed again: whether to set it once more."""
        self._lost[key] += 1
        return self._lost[key] <= self._most

    def forget(self) -> None:
        """A new mode, a new count."""
        self._lost.clear()
