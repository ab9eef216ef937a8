"""Who is at the other end of a socket, as the kernel recorded it when they connected.

Trust goes to uid and gid (SO_PEERCRED). The pid is decoration: it may be reused, so it is held by a pidfd. The
cgroup narrows what a uid may do, never widens it. Whoever passes a connected socket on lends out their own rights.
"""

import errno
import os
import pwd
import socket
import struct
from dataclasses import dataclass
from functools import lru_cache

from mlosd.core.errors import NotPermitted
from mlosd.kernel.pidfd import PidInfo, pidfd_get_info

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
    pidfd = _pidfd(connected)
    try:
        cgroup_id = None if pidfd is None else attested_cgroup(uid, _info(pidfd))
        return Caller(uid, gid, _groups(connected, uid, gid), pid, pidfd, cgroup_id)
    except BaseException:
        if pidfd is not None:
            os.close(pidfd)
        raise


def credentials(raw: bytes) -> tuple[int, int, int]:
    """Read struct ucred: pid, uid, gid."""
    pid, uid, gid = _UCRED.unpack(raw)
    if pid <= 0:
        raise NotPermitted(
            "you are in a pid namespace that mlosd does not see",
            hint="call from the host, or share the host's pid namespace with the container",
        )
    return pid, uid, gid


def attested_cgroup(uid: int, info: PidInfo | None) -> int | None:
    """The cgroup of a process that still is what connected.

    Connecting and then executing a setuid program, or changing users in any other way, leaves the socket with rights
    that the process should not have, or no longer should.
    """
    if info is None:
        return None
    if info.credentials is not None and {info.credentials.ruid, info.credentials.euid} != {uid}:
        raise NotPermitted(
            f"you connected as user {uid} and are another user now",
            hint="call mlosd from a program that is not setuid and does not change users in between",
        )
    return info.cgroupid


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
        return frozenset(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:
        return frozenset()


def _pidfd(connected: socket.socket) -> int | None:
    try:
        return connected.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        if error.errno in (errno.ENOPROTOOPT, errno.EINVAL, errno.ENODATA, errno.ESRCH):
            return None
        raise


def _info(pidfd: int) -> PidInfo | None:
    try:
        return pidfd_get_info(pidfd)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL, errno.ESRCH):
            return None  # before Linux 6.13, or gone already
        raise
