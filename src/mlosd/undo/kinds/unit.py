"""Targets that PID 1 owns: properties of a unit, and whether it runs. Never written past PID 1, the one writer."""

import contextlib
import errno
import os
import time
from pathlib import Path

from mlosd.undo.dbus import DBusError, Variant
from mlosd.undo.systemd import Systemd

_INFINITY = (1 << 64) - 1
# What a property is called in the name of its drop-in, where that differs (src/core/dbus-cgroup.c).
_DROP_IN = {"CPUQuotaPerSecUSec": "CPUQuota"}
_LISTS = {"AllowedCPUs"}
_RUNTIME = " runtime"
_NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"


class Property:
    """A resource setting of a unit. `target` is "system.slice CPUWeight".

    Values are what systemctl show prints, and " runtime" behind where a runtime drop-in says so: "10 runtime". Writing
    a value without it takes that drop-in away again.
    """

    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd
        self._must_reload = False

    def read(self, target: str) -> str | None:
        unit, _, name = target.partition(" ")
        value = _shown(self._properties(unit)[name])
        return value + (_RUNTIME if self._drop_in(unit, name).exists() else "")

    def write(self, target: str, value: str | None) -> None:
        unit, _, name = target.partition(" ")
        plain = (value or "").removesuffix(_RUNTIME)
        if name in _LISTS and not plain:
            # An empty list leaves the old CPUs in the kernel (systemd issue 43846): first all of them.
            self._systemd.set(unit, {name: _variant(name, f"0-{(os.cpu_count() or 1) - 1}")})
        self._systemd.set(unit, {name: _variant(name, plain)})
        if not (value or "").endswith(_RUNTIME):
            drop_in = self._drop_in(unit, name)
            drop_in.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # other drop-ins of the unit are there
                drop_in.parent.rmdir()
            self._must_reload = True

    def same(self, one: str | None, other: str | None) -> bool:
        return one == other

    def command(self, target: str, value: str | None) -> str:
        unit, _, name = target.partition(" ")
        plain = (value or "").removesuffix(_RUNTIME)
        plain = "" if plain == "[not set]" else plain
        return f"systemctl set-property --runtime {unit} {_DROP_IN.get(name, name)}={plain}"

    def finish(self) -> None:
        """A drop-in that was removed is forgotten by PID 1 when it reads the unit files again."""
        if self._must_reload:
            self._must_reload = False
            self._systemd.reload()

    def _properties(self, unit: str) -> dict[str, object]:
        found = self._systemd.get(unit)
        if found["LoadState"] == "not-found" or "ControlGroup" not in found:
            raise OSError(errno.ENOENT, f"there is no unit {unit}")
        return found

    def _drop_in(self, unit: str, name: str) -> Path:
        return self._systemd.control / f"{unit}.d" / f"50-{_DROP_IN.get(name, name)}.conf"


class State:
    """Whether a unit runs: "active" or "inactive". `target` is its name."""

    PATIENCE = 5.0

    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd

    def read(self, target: str) -> str | None:
        """ActiveState. ENOENT: there is no such unit."""
        found = self._systemd.get(target)
        if found["LoadState"] == "not-found":
            raise OSError(errno.ENOENT, f"there is no unit {target}")
        return str(found["ActiveState"])

    def write(self, target: str, value: str | None) -> None:
        """Start or stop it, and wait until it is so."""
        try:
            (self._systemd.start if value == "active" else self._systemd.stop)(target)
        except DBusError as e:
            if e.name == _NO_SUCH_UNIT:
                raise OSError(errno.ENOENT, f"there is no unit {target}") from e
            raise
        until = time.monotonic() + self.PATIENCE
        while self.read(target) != value and time.monotonic() < until:
            time.sleep(0.01)

    def same(self, one: str | None, other: str | None) -> bool:
        return one == other

    def command(self, target: str, value: str | None) -> str:
        return f"systemctl {'start' if value == 'active' else 'stop'} {target}"

    def finish(self) -> None:
        pass


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        mask = int.from_bytes(value, "little")
        return _ranges([cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1])
    return "[not set]" if value == _INFINITY else str(value)


def _variant(name: str, text: str) -> Variant:
    if name not in _LISTS:
        return Variant("t", _INFINITY if text in ("", "[not set]") else int(text))
    mask = 0
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        for cpu in range(int(first), int(last or first) + 1):
            mask |= 1 << cpu
    return Variant("ay", mask.to_bytes((mask.bit_length() + 7) // 8, "little"))


def _ranges(cpus: list[int]) -> str:
    parts: list[str] = []
    for cpu in cpus:
        first, _, last = parts[-1].partition("-") if parts else ("", "", "")
        if parts and cpu == int(last or first) + 1:
            parts[-1] = f"{first}-{cpu}"
        else:
            parts.append(str(cpu))
    return ",".join(parts)
