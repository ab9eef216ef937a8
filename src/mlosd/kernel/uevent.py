"""Kernel object events (Documentation/core-api/kobject): devices and CPUs that come and go, told over netlink."""

import contextlib
import os
import socket
from dataclasses import dataclass

_NETLINK_KOBJECT_UEVENT = 15
_FROM_KERNEL = 1
_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Uevent:
    """`action`: "add", "remove", "online", "offline", ...; `path` is below /sys; `subsystem`: "cpu", "input"."""

    action: str
    path: str
    subsystem: str


def parse(message: bytes) -> Uevent | None:
    """One message of the kernel; None for anything else, such as what udev sends on."""
    head, *lines = message.split(b"\0")
    action, at, path = head.partition(b"@")
    if not at or message.startswith(b"libudev"):
        return None
    values = dict(line.partition(b"=")[::2] for line in lines if b"=" in line)
    return Uevent(action.decode("ascii", "replace"), os.fsdecode(path), os.fsdecode(values.get(b"SUBSYSTEM", b"")))


class Uevents:
    """The events from now on. Owns a socket; `fileno()` is readable when there are some."""

    def __init__(self) -> None:
        """Raises OSError where the kernel does not tell, as in a network namespace of somebody else's user."""
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _NETLINK_KOBJECT_UEVENT
        )
        try:
            self._socket.bind((0, _FROM_KERNEL))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> list[Uevent]:
        """All that are there. Some may be lost when too many came at once: then look for yourself."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                message, sender = self._socket.recvfrom(_LARGEST)
                # Any process with CAP_NET_ADMIN may send to the group; the kernel's own port is 0.
                if sender[0] == 0 and (event := parse(message)):
                    found.append(event)
        return found

    def close(self) -> None:
        self._socket.close()
