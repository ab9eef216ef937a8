"""Every kind of target there is, by name. One module each family, imported when its first target is met.

A family that cannot be imported, as for want of ctypes, must not keep the others from being put back; and who restores
files need not wait for what GPUs need.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from mlosd.undo.kind import Kind
from mlosd.undo.systemd import Systemd

# Kind -> module and class. Those of `unit` speak with PID 1.
_CLASSES = {
    "text": ("file", "Text"),
    "choice": ("file", "Choice"),
    "mask": ("file", "Mask"),
    "cpulist": ("file", "CpuList"),
    "pair": ("file", "Pair"),
    "directory": ("file", "Directory"),
    "resctrl-cpus": ("resctrl", "Cpus"),
    "schemata": ("resctrl", "Schemata"),
    "unit": ("unit", "Property"),
    "unit-state": ("unit", "State"),
    "nft-table": ("network", "NftTable"),
    "qdisc": ("network", "Qdisc"),
    "gpu": ("gpu", "Gpu"),
}


class Kinds(Mapping[str, Kind]):
    """Iterates over those that were asked for so far: what was not has nothing to finish."""

    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd
        self._made: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        """Raises KeyError: there is no such kind, or this Python lacks what it takes."""
        if name not in self._made:
            module, class_ = _CLASSES[name]
            try:
                found = getattr(import_module(f"{__name__}.{module}"), class_)
            except ImportError as e:
                raise KeyError(name) from e
            self._made[name] = found(self._systemd) if module == "unit" else found()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._made))

    def __len__(self) -> int:
        return len(self._made)


def every(*, systemd: Path | None = None) -> Kinds:
    """All kinds. `systemd`: PID 1's socket, where it is not the usual one."""
    return Kinds(Systemd(systemd))
