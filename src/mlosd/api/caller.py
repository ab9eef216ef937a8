"""Who is at the other end of a socket, as the kernel recorded it when they connected.

Trust goes to uid and gid (SO_PEERCRED). The pid is decoration: it may be reused, so it is held by a pidfd. The
cgroup narrows what a uid may do, never widens it. Whoever passes a connected socket on lends out their own rights.
"""

import errno
import os
import pwd
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mlosd.core.errors import NotPermitted

_SO_PEERGROUPS = 59  # asm-generic/socket.h, since Linux 4.13
_SO_PEERPIDFD = 77  # since 6.5; older kernels answer ENOPROTOOPT or EINVAL
_UCRED = struct.Struct("iII")
_LARGEST_OPTION = 1024  # socket.getsockopt() takes no larger buffer


@dataclass(frozen=True, slots=True)
class Caller:
    """A client. `pidfd` is None where the kernel has none to give, or the process was gone already."""

    uid: int
    gid: int
    groups: frozenset[int]
    pid: int
    pidfd: int | None = None
    cgroup_id: int | None = None

    def forget(self) -> None:
        """Close what holds the process."""
        if self.pidfd is not None:
            os.close(self.pidfd)


def of_socket(connected: socket.socket) -> Caller:
    """The peer of a connected AF_UNIX socket; NotPermitted when it cannot be told who that is."""
    pid, uid, gid = credentials(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Caller(uid, gid, _groups(connected, uid, gid), pid, _pidfd(connected))


def credentials(raw: bytes) -> tuple[int, int, int]:
    """Read struct ucred: pid, uid, gid."""
    pid, uid, gid = _UCRED.unpack(raw)
    if pid <= 0:
        raise NotPermitted(
            "you are in a pid namespace that mlosd does not see",
            hint="call from the host, or share the host's pid namespace with the container",
        )
    return pid, uid, gid


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    """The user's login name, or the number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _groups(connected: socket.socket, uid: int, gid: int) -> frozenset[int]:
    try:
        raw = connected.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _LARGEST_OPTION)
    except OSError as error:
        if error.errno == errno.ERANGE:
            # More groups than fit: those that the user would have after a new login.
            return _login_groups(uid, gid)
        if error.errno in (errno.ENOPROTOOPT, errno.EINVAL, errno.ENODATA):
            return frozenset()
        raise
    return frozenset(struct.unpack(f"{len(raw) // 4}I", raw))


def _login_groups(uid: int, gid: int) -> frozenset[int]:
    try:
        found: Sequence[int] = os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return frozenset()
    return frozenset(found)


def _pidfd(connected: socket.socket) -> int | None:
    try:
        return connected.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        if error.errno in (errno.ENOPROTOOPT, errno.EINVAL, errno.ENODATA, errno.ESRCH):
            return None
        raise
