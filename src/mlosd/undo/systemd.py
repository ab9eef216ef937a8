"""PID 1, asked through its private socket: properties of units, start and stop (org.freedesktop.systemd1(5))."""

import contextlib
import os
import string
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlosd.undo.dbus import DBusError, Peer, Variant

PRIVATE = Path("/run/systemd/private")
CONTROL = Path("/run/systemd/system.control")
_NAME = "org.freedesktop.systemd1"
_ROOT = "/org/freedesktop/systemd1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_MANAGER = f"{_NAME}.Manager"
_UNIT = f"{_NAME}.Unit"
# PID 1 executes itself anew (`systemctl daemon-reexec`): it is not there for a moment.
_PATIENCE = 10.0
_PAUSE = 0.02
_PATTERNS = ["*.slice", "*.scope", "*.service", "*.timer", "*.path"]
_NOT_IN_MEMORY = {"LoadState": "not-found", "ActiveState": "inactive"}


def unit_path(name: str) -> str:
    """The object that stands for a unit (sd_bus_path_encode(3))."""
    plain = string.ascii_letters + string.digits
    return f"{_ROOT}/unit/" + "".join(
        chr(byte) if chr(byte) in plain and not (index == 0 and chr(byte).isdigit()) else f"_{byte:02x}"
        for index, byte in enumerate(name.encode())
    )


class Systemd:
    """PID 1. Owns its connection, made when it is first needed; threads may share it.

    A call that the other end broke off is made again on a new connection, so it may be carried out twice. `patience`:
    seconds that PID 1 may be away. Once it did not come back in time, each call tries once: who restores 200 values
    must not wait for each of them.
    """

    def __init__(self, socket: Path | None = None, control: Path = CONTROL, *, patience: float = _PATIENCE) -> None:
        self._path = socket or PRIVATE
        self.control = control
        self._patience = self._left = patience
        self._peer: Peer | None = None
        self._was_there = False
        self._listed: dict[str, dict[str, str]] | None = None
        self._asked_for: frozenset[str] = frozenset()
        self.waits_for_reload = True
        self._one_at_a_time = threading.Lock()

    def is_there(self) -> bool:
        """Whether PID 1 is a systemd that we may ask."""
        return os.access(self._path, os.W_OK)

    def get(self, unit: str) -> dict[str, Any]:
        """Every property of a unit; for that PID 1 reads many files. Raises OSError."""
        found: dict[str, Any] = self._call(unit_path(unit), _PROPERTIES, "GetAll", "s", "")[0]
        return found

    def state(self, unit: str, name: str = "ActiveState") -> str:
        """A property that every unit has: ActiveState, LoadState. Raises OSError."""
        if self._listed is not None and unit not in self._asked_for:
            return self._listed.get(unit, _NOT_IN_MEMORY)[name]
        return str(self._call(unit_path(unit), _PROPERTIES, "Get", "ss", _UNIT, name)[0])

    @contextlib.contextmanager
    def listed(self, *, asking: Collection[str] = ()) -> Iterator[None]:
        """Answer `state` from one list of all units in memory while this lasts; `asking`: of these, PID 1 itself.

        To be asked about a unit that is not in memory, PID 1 reads its file and those of all that it names, and forgets
        them again. What is not in memory does not run; that is all that most want to know.
        """
        units = self._call(_ROOT, _MANAGER, "ListUnitsByPatterns", "asas", [], _PATTERNS)[0]
        self._asked_for = frozenset(asking)
        self._listed = {unit[0]: {"LoadState": unit[2], "ActiveState": unit[3]} for unit in units}
        try:
            yield
        finally:
            self._listed = None

    def resource(self, unit: str, name: str) -> Any:
        """A property of a slice, service or scope: CPUWeight, AllowedCPUs, ControlGroup. Raises OSError."""
        interface = f"{_NAME}.{unit.rpartition('.')[2].capitalize()}"
        return self._call(unit_path(unit), _PROPERTIES, "Get", "ss", interface, name)[0]

    def set(self, unit: str, properties: Mapping[str, Variant]) -> None:
        """Change properties until the next boot (a drop-in below `control`). Raises OSError."""
        pairs = list(properties.items())
        self._call(_ROOT, _MANAGER, "SetUnitProperties", "sba(sv)", unit, True, pairs)

    def start(self, unit: str, *, mode: str = "replace") -> None:
        """Raises OSError when it is refused; does not wait."""
        self._call(_ROOT, _MANAGER, "StartUnit", "ss", unit, mode)

    def stop(self, unit: str, *, mode: str = "replace") -> None:
        """Raises OSError when it is refused; does not wait."""
        self._call(_ROOT, _MANAGER, "StopUnit", "ss", unit, mode)

    def job_type(self, path: str) -> str:
        """What a queued job is: "start", "stop", "restart"."""
        return str(self._call(path, _PROPERTIES, "Get", "ss", f"{_NAME}.Job", "JobType")[0])

    def reload(self) -> None:
        """Read all unit files again (`systemctl daemon-reload`). Waits for it only with `waits_for_reload`: it takes
        PID 1 long, and what comes after it on the same connection waits in any case."""
        if self.waits_for_reload:
            self._call(_ROOT, _MANAGER, "Reload", "")
            return
        with self._one_at_a_time:
            if self._peer is None:
                self._peer = Peer(self._path)
            self._peer.tell(destination=_NAME, path=_ROOT, interface=_MANAGER, member="Reload", signature="", body=())

    def close(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def _call(self, path: str, interface: str, member: str, signature: str, *body: Any) -> Any:
        with self._one_at_a_time:
            return self._patiently(path, interface, member, signature, body)

    def _patiently(self, path: str, interface: str, member: str, signature: str, body: Sequence[Any]) -> Any:
        while True:
            try:
                if self._peer is None:
                    self._peer = Peer(self._path)
                    self._was_there = True
                answer = self._peer.call(
                    destination=_NAME, path=path, interface=interface, member=member, signature=signature, body=body
                )
                self._left = self._patience
                return answer
            except DBusError:
                raise
            except (ConnectionError, TimeoutError, BlockingIOError, FileNotFoundError) as e:
                self.close()
                if isinstance(e, FileNotFoundError) and not self._was_there:
                    raise
                self._wait(e)

    def _wait(self, e: OSError) -> None:
        """Raises OSError when PID 1 was away for too long."""
        if self._left <= 0 or isinstance(e, TimeoutError):
            self._left = 0
            raise OSError(e.errno, f"systemd does not answer: {e.strerror or e}") from e
        time.sleep(_PAUSE)
        self._left -= _PAUSE
