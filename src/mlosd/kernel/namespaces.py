"""namespaces(7): leave a namespace for a new one, and mount in it, as unshare(2) and mount(2) do."""

import ctypes
import os
from enum import IntFlag
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)


class CloneFlags(IntFlag):
    """The flags of unshare(2), from include/uapi/linux/sched.h."""

    NEWNS = 0x00020000
    NEWUSER = 0x10000000


class MountFlags(IntFlag):
    """The flags of mount(2), from include/uapi/linux/mount.h."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18
    SLAVE = 1 << 19


def unshare(flags: CloneFlags) -> None:
    _check(_LIBC.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: Path, fstype: str | None, flags: MountFlags) -> None:
    encoded = fstype.encode() if fstype is not None else None
    result = _LIBC.mount(source.encode(), os.fsencode(target), encoded, ctypes.c_ulong(flags), None)
    _check(result, "mount")


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
