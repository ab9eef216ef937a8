"""PID 1, asked through its private socket: properties of units, start and stop (org.freedesktop.systemd1(5))."""

import contextlib
import os
import string
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mlosd.undo.dbus import DBusError, Peer, Variant

PRIVATE = Path("/run/systemd/private")
CONTROL = Path("/run/systemd/system.control")
_NAME = "org.freedesktop.systemd1"
_ROOT = "/org/freedesktop/systemd1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_MANAGER = f"{_NAME}.Manager"
# PID 1 executes itself anew (`systemctl daemon-reexec`): it is not there for a moment.
_PATIENCE = 10.0
_T = TypeVar("_T")


def unit_path(name: str) -> str:
    """The object that stands for a unit (sd_bus_path_encode(3))."""
    plain = string.ascii_letters + string.digits
    return f"{_ROOT}/unit/" + "".join(
        chr(byte) if chr(byte) in plain and not (index == 0 and chr(byte).isdigit()) else f"_{byte:02x}"
        for index, byte in enumerate(name.encode())
    )


class Systemd:
    """PID 1. Owns its connection, made when it is first needed."""

    def __init__(self, socket: Path | None = None, control: Path = CONTROL) -> None:
        self._path = socket or PRIVATE
        self.control = control
        self._peer: Peer | None = None

    def is_there(self) -> bool:
        """Whether PID 1 is a systemd that we may ask."""
        return os.access(self._path, os.W_OK)

    def get(self, unit: str) -> dict[str, Any]:
        """Every property of a unit. Raises OSError."""
        found: dict[str, Any] = self._call(unit_path(unit), _PROPERTIES, "GetAll", "s", "")[0]
        return found

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
        """Read all unit files again (`systemctl daemon-reload`)."""
        self._call(_ROOT, _MANAGER, "Reload", "")

    def close(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def _call(self, path: str, interface: str, member: str, signature: str, *body: Any) -> Any:
        def once() -> Any:
            if self._peer is None:
                self._peer = Peer(self._path)
            return self._peer.call(
                destination=_NAME, path=path, interface=interface, member=member, signature=signature, body=body
            )

        return self._patiently(once)

    def _patiently(self, work: Callable[[], _T]) -> _T:
        """A call that the other end broke off is made once more on a connection of its own."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return work()
            except DBusError:
                raise
            except (ConnectionError, TimeoutError) as e:
                with contextlib.suppress(OSError):
                    self.close()
                if time.monotonic() > until:
                    raise OSError(getattr(e, "errno", None), f"systemd does not answer: {e}") from e
                time.sleep(0.05)
