"""Targets that PID 1 owns: properties of a unit, and whether it runs. Never written past PID 1, the one writer."""

import contextlib
import errno
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlosd.undo.dbus import DBusError, Variant
from mlosd.undo.kind import Plain
from mlosd.undo.systemd import Systemd

_INFINITY = (1 << 64) - 1
_IDLE = 0  # CGROUP_WEIGHT_IDLE in src/basic/cgroup-util.h
_NOT_SET = "[not set]"
_RUNTIME = " runtime"
_LISTS = {"AllowedCPUs"}
# What a property is called in a unit file, and in the name of its drop-in, where that differs (src/core/dbus-cgroup.c).
_SETTING = {"CPUQuotaPerSecUSec": "CPUQuota"}
_POSSIBLE = Path("/sys/devices/system/cpu/possible")
_UNKNOWN = ("org.freedesktop.DBus.Error.UnknownProperty", "org.freedesktop.DBus.Error.UnknownInterface")
_NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"


class Property(Plain):
    """A resource setting of a unit. `target` is "system.slice CPUWeight".

    Values are what systemctl show prints, and " runtime" behind where a runtime drop-in says so: "10 runtime". Writing
    a value without it takes that drop-in away again. `possible`: the CPUs that the kernel can have, as a list.
    """

    def __init__(self, systemd: Systemd, *, possible: Path = _POSSIBLE) -> None:
        self._systemd = systemd
        self._possible = possible
        self._must_reload = False

    def read(self, target: str) -> str | None:
        """ENOENT: there is no such unit, or this systemd knows no such property."""
        unit, _, name = target.partition(" ")
        # Every slice can be loaded: one question less, at each of the many times that this is asked.
        if not unit.endswith(".slice") and self._systemd.state(unit, "LoadState") == "not-found":
            raise OSError(errno.ENOENT, f"there is no unit {unit}")
        try:
            value = self._systemd.resource(unit, name)
        except DBusError as e:
            if e.name in _UNKNOWN:
                raise OSError(errno.ENOENT, f"systemd here knows no {name} of {unit}") from e
            raise
        return _shown(name, value) + (_RUNTIME if any(file.exists() for file in self._drop_ins(unit, name)) else "")

    def write(self, target: str, value: str | None) -> None:
        """EINVAL: it cannot have such a value."""
        unit, _, name = target.partition(" ")
        stays = (value or "").endswith(_RUNTIME)
        # PID 1 makes the cgroup of a slice that is not active, for a property that is set, and leaves it there.
        # What such a slice has is in its drop-in only.
        is_asleep = not stays and unit.endswith(".slice") and self._systemd.state(unit) != "active"
        for step in () if is_asleep else self._steps(name, value or ""):
            self._systemd.set(unit, {name: _variant(name, step)})
        if not stays:
            self._remove(self._drop_ins(unit, name))
            self._must_reload = True
        if is_asleep:
            self.finish()

    def passing(self, target: str, value: str | None) -> tuple[str, ...]:
        """What `write` of this value makes of the target on its way: whoever dies there has left one of these."""
        name = target.partition(" ")[2]
        return tuple(step + _RUNTIME for step in self._steps(name, value or ""))

    def command(self, target: str, value: str | None) -> str:
        unit, _, name = target.partition(" ")
        sets = [
            f"systemctl set-property --runtime {unit} {_SETTING.get(name, name)}={_typed(name, step)}"
            for step in self._steps(name, value or "")
        ]
        if (value or "").endswith(_RUNTIME):
            return "; ".join(sets)
        files = " ".join(map(str, self._drop_ins(unit, name)))
        return "; ".join([*sets, f"rm -f {files}", "systemctl daemon-reload"])

    def finish(self) -> None:
        """A drop-in that was removed is forgotten by PID 1 when it reads the unit files again. Raises OSError."""
        if self._must_reload:
            self._systemd.reload()
            self._must_reload = False

    def _steps(self, name: str, value: str) -> Iterator[str]:
        """What is written, one after another."""
        plain = value.removesuffix(_RUNTIME)
        if name in _LISTS and not plain:
            # An empty list leaves the old CPUs in the kernel (systemd issue 43846): first all of them.
            yield self._possible.read_text(encoding="ascii").strip()
        yield plain

    def _drop_ins(self, unit: str, name: str) -> tuple[Path, ...]:
        """Where PID 1 writes it down; of a unit without a file of its own, such as init.scope, among the transient."""
        file = Path(f"{unit}.d") / f"50-{_SETTING.get(name, name)}.conf"
        every = (self._systemd.control / file, self._systemd.control.with_name("transient") / file)
        return every[:1] if unit.endswith(".slice") else every

    def _remove(self, files: Iterable[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # other drop-ins of the unit are there, or none ever was
                file.parent.rmdir()


class State(Plain):
    """Whether a unit runs: "active" or "inactive". `target` is its name."""

    PATIENCE = 5.0

    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd

    def read(self, target: str) -> str | None:
        """One that is on its way there counts as there; one that failed does not run. ENOENT: it cannot run."""
        if (load := self._systemd.state(target, "LoadState")) in ("not-found", "masked"):
            raise OSError(errno.ENOENT, f"{target} is masked" if load == "masked" else f"there is no unit {target}")
        now = self._systemd.state(target)
        return "active" if now in ("active", "activating", "reloading", "refreshing") else "inactive"

    def write(self, target: str, value: str | None) -> None:
        """Start or stop it, and wait until it is so: what it did is over when the next knob is set."""
        try:
            (self._systemd.start if value == "active" else self._systemd.stop)(target)
        except DBusError as e:
            if e.name == _NO_SUCH_UNIT:
                raise OSError(errno.ENOENT, f"there is no unit {target}") from e
            raise
        until = time.monotonic() + self.PATIENCE
        while not self._arrived(target, value) and time.monotonic() < until:
            time.sleep(0.01)

    def command(self, target: str, value: str | None) -> str:
        return f"systemctl {'start' if value == 'active' else 'stop'} {target}"

    def _arrived(self, target: str, value: str | None) -> bool:
        now = self._systemd.state(target)
        return now in ("inactive", "failed") if value == "inactive" else now not in ("inactive", "deactivating")


def _shown(name: str, value: object) -> str:
    if isinstance(value, bytes):
        mask = int.from_bytes(value, "little")
        return _ranges([cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1])
    if name == "CPUWeight" and value == _IDLE:
        return "idle"
    return _NOT_SET if value == _INFINITY else str(value)


def _variant(name: str, text: str) -> Variant:
    try:
        if name in _LISTS:
            mask = sum(1 << cpu for cpu in _cpus(text))
            return Variant("ay", mask.to_bytes((mask.bit_length() + 7) // 8, "little"))
        if text in ("", _NOT_SET):
            return Variant("t", _INFINITY)
        return Variant("t", _IDLE if text == "idle" else int(text))
    except ValueError as e:
        raise OSError(errno.EINVAL, f"{name} cannot be {text!r}") from e


def _typed(name: str, text: str) -> str:
    """A value as it is written in a unit file."""
    if text == _NOT_SET:
        return ""
    return f"{int(text) / 10_000:g}%" if name == "CPUQuotaPerSecUSec" else text


def _cpus(text: str) -> set[int]:
    cpus: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def _ranges(cpus: list[int]) -> str:
    parts: list[str] = []
    for cpu in cpus:
        first, _, last = parts[-1].partition("-") if parts else ("", "", "")
        if parts and cpu == int(last or first) + 1:
            parts[-1] = f"{first}-{cpu}"
        else:
            parts.append(str(cpu))
    return ",".join(parts)
