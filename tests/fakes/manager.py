"""PID 1 as it speaks on /run/systemd/private: D-Bus without a bus. It holds units, and writes drop-ins as systemd does.

The messages go through dbus-fast, so that nothing here is read or written by the code that is tested.
"""

import contextlib
import fnmatch
import io
import re
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbus_fast import Message, Variant
from dbus_fast._private.unmarshaller import Unmarshaller

NAME = "org.freedesktop.systemd1"
INFINITY = (1 << 64) - 1
# src/core/dbus-cgroup.c: what a property is called in a unit file, and how much it is when nobody sets it.
_DEFAULTS: dict[str, tuple[str, Any]] = {
    "CPUWeight": ("t", INFINITY),
    "IOWeight": ("t", INFINITY),
    "MemoryLow": ("t", 0),
    "MemoryHigh": ("t", INFINITY),
    "CPUQuotaPerSecUSec": ("t", INFINITY),
    "AllowedCPUs": ("ay", b""),
}
_IN_FILE = {"CPUQuotaPerSecUSec": "CPUQuota"}
_OF_UNIT = ("LoadState", "ActiveState")


class Manager:
    """A fake PID 1 that listens at `socket` while it is entered, and writes its runtime drop-ins below `control`.

    `units`: name -> properties, as systemd has them on the bus: {"system.slice": {"CPUWeight": 100}}. A unit is loaded
    and active where nothing else is said. `calls` are the methods that were called, with their arguments. `refuse`:
    method -> D-Bus error to answer with. `hang_up`: method -> how often the connection breaks instead of an answer.
    `stuck`: units that neither start nor stop.
    """

    def __init__(self, folder: Path, units: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.socket = folder / "private"
        self.control = folder / "system.control"
        self.units = {name: self._unit(name, said) for name, said in (units or {}).items()}
        self._files = {name: dict(unit) for name, unit in self.units.items()}
        self.calls: list[tuple[str, list[Any]]] = []
        self.refuse: dict[str, str] = {}
        self.hang_up: dict[str, int] = {}
        self.stuck: set[str] = set()
        self.jobs: dict[str, str] = {}
        self._connections: list[socket.socket] = []

    def __enter__(self) -> "Manager":
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def listen(self) -> None:
        """Be there, also again after `leave`."""
        self.socket.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def leave(self) -> None:
        """Be gone, as while PID 1 executes itself anew: the socket's file stays, and nobody listens."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def called(self, member: str) -> list[list[Any]]:
        """The arguments of each call of a method."""
        return [body for name, body in self.calls if name == member]

    def _unit(self, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
        kind = name.rpartition(".")[2]
        defaults = {key: value for key, (_, value) in _DEFAULTS.items()} if kind in _WITH_CGROUP else {}
        state = said.get("ActiveState", "active")
        group = {"ControlGroup": f"/{name}" if state == "active" else ""} if kind in _WITH_CGROUP else {}
        return {"LoadState": "loaded", "ActiveState": state, "Job": [0, "/"], **defaults, **group, **said}

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=[connection]).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError, EOFError, ValueError):
            self._authenticate(stream)
            while message := Unmarshaller(stream).unmarshall():
                body = list(message.body)
                self.calls.append((str(message.member), body))
                if self.hang_up.get(str(message.member), 0) > 0:
                    self.hang_up[str(message.member)] -= 1
                    return
                answer = self._answer(message, body)
                answer.serial = len(self.calls)
                connection.sendall(bytes(answer._marshall(False)))

    def _authenticate(self, stream: io.BufferedRWPair) -> None:
        assert stream.read(1) == b"\0"
        word, mechanism, uid = stream.readline().split()
        assert (word, mechanism, bytes.fromhex(uid.decode()).isdigit()) == (b"AUTH", b"EXTERNAL", True)
        if "AUTH" in self.refuse:
            stream.write(b"REJECTED EXTERNAL\r\n")
            stream.flush()
            raise EOFError
        stream.write(b"OK 0123456789abcdef0123456789abcdef\r\n")
        stream.flush()
        assert stream.readline() == b"BEGIN\r\n"

    def _answer(self, message: Message, body: list[Any]) -> Message:
        if error := self.refuse.get(str(message.member)):
            return Message.new_error(message, error, "as the test says")
        match message.member, body:
            case "GetAll", _:
                unit = self._find(_name(str(message.path)))
                return Message.new_method_return(message, "a{sv}", [{key: _typed(key, unit[key]) for key in unit}])
            case "Get", [_, "JobType"]:
                return Message.new_method_return(message, "v", [Variant("s", self.jobs[str(message.path)])])
            case "Get", [interface, name]:
                unit = self._find(_name(str(message.path)))
                of = "Unit" if name in _OF_UNIT else _name(str(message.path)).rpartition(".")[2].capitalize()
                if name not in unit or interface != f"{NAME}.{of}":
                    return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownProperty", f"no {name}")
                return Message.new_method_return(message, "v", [_typed(name, unit[name])])
            case "SetUnitProperties", [name, True, pairs]:
                self._set(name, {key: variant.value for key, variant in pairs})
            case (("StartUnit" | "StopUnit"), [name, _]):
                if name not in self.units:
                    return Message.new_error(message, f"{NAME}.NoSuchUnit", f"Unit {name} not loaded.")
                if name not in self.stuck:
                    self.units[name]["ActiveState"] = "active" if message.member == "StartUnit" else "inactive"
                return Message.new_method_return(message, "o", [f"/org/freedesktop/systemd1/job/{len(self.calls)}"])
            case "ListUnitsByPatterns", [[], patterns]:
                return Message.new_method_return(message, "a(ssssssouso)", [self._listed(patterns)])
            case "Reload", []:
                self._reload()
            case _:
                return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", str(message.member))
        return Message.new_method_return(message)

    def _listed(self, patterns: list[str]) -> list[list[Any]]:
        """The units in memory, as ListUnits has them."""
        return [
            [name, name, unit["LoadState"], unit["ActiveState"], "sub", "", f"/{number}", 0, "", "/"]
            for number, (name, unit) in enumerate(self.units.items())
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        ]

    def _find(self, name: str) -> dict[str, Any]:
        """A unit, loaded when it is first asked for. Every name of a slice can be loaded; it is not active then."""
        if name not in self.units:
            is_slice = name.endswith(".slice")
            said = {"LoadState": "loaded" if is_slice else "not-found", "ActiveState": "inactive"}
            self.units[name] = self._unit(name, said)
            self._files[name] = dict(self.units[name])
        return self.units[name]

    def _set(self, name: str, properties: Mapping[str, Any]) -> None:
        self._find(name).update(properties)
        for key, value in properties.items():
            drop_in = self.drop_in(name, key)
            drop_in.parent.mkdir(parents=True, exist_ok=True)
            drop_in.write_text(f"[Slice]\n{_IN_FILE.get(key, key)}={value!r}\n", encoding="utf-8")

    def drop_in(self, unit: str, name: str) -> Path:
        """Where a property that was set until the next boot is remembered (src/core/unit.c, unit_write_setting)."""
        return self.control / f"{unit}.d" / f"50-{_IN_FILE.get(name, name)}.conf"

    def _reload(self) -> None:
        """Forget what was set, unless its drop-in is there."""
        for name, unit in self.units.items():
            for key in _DEFAULTS.keys() & unit.keys():
                if not self.drop_in(name, key).exists():
                    unit[key] = self._files[name][key]


_WITH_CGROUP = ("slice", "service", "scope")


def _name(path: str) -> str:
    escaped = path.rpartition("/")[2]
    return re.sub(r"_([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), escaped)


def _typed(name: str, value: Any) -> Variant:
    if name == "Job":
        return Variant("(uo)", value)
    return Variant(_DEFAULTS[name][0] if name in _DEFAULTS else "s", value)
