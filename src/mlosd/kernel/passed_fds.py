"""Descriptors that other processes passed to us (unix(7), SCM_RIGHTS), and how to let go of them.

close(2) waits for whoever is behind a descriptor: a TCP connection that lingers (socket(7)), a file server that does
not answer. What another user opened may therefore be closed in a thread of its own only.
"""

import fcntl
import os
import socket
import struct
import termios
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

_NO_LINGER = struct.pack("ii", 0, 0)
_INT = struct.Struct("i")


def close_passed(fds: Sequence[int]) -> None:
    """Close them without waiting. Pipes are closed when this returns: somebody may read until the end."""
    slow = []
    for fd in fds:
        # Asking the file itself, with fstat(2), could wait as long as closing it. Only a pipe has a name without "/".
        if _name(fd).startswith("pipe:["):
            os.close(fd)
        else:
            slow.append(fd)
    if slow:
        _elsewhere(lambda: _close_all(slow))


def close_connection(connected: socket.socket) -> None:
    """Close a Unix socket, and with it what was passed over it and never received."""
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)  # from now on nothing more arrives
    if _unread(connected):
        _elsewhere(connected.close)
    else:
        connected.close()


def _name(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - a name, not a path


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        if _name(fd).startswith("socket:["):
            _close_socket(fd)
        else:
            os.close(fd)


def _close_socket(fd: int) -> None:
    with socket.socket(fileno=fd) as passed, suppress(OSError):
        passed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def _unread(connected: socket.socket) -> int:
    count = bytearray(_INT.size)
    fcntl.ioctl(connected, termios.FIONREAD, count)
    (unread,) = _INT.unpack(count)
    return int(unread)


def _elsewhere(work: Callable[[], object]) -> None:
    threading.Thread(target=work, name="close", daemon=True).start()
