"""openat2(2), Linux 5.6: open a path and say how it may be resolved."""

import os
from pathlib import Path

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20

AT_FDCWD = -100


def openat2(path: Path | str, flags: int, *, resolve: int, mode: int = 0, dirfd: int = AT_FDCWD) -> int:
    """Open `path`, below `dirfd` where it is relative; returns an fd that no program inherits."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("a NUL byte in a path")
    fd = lib.mlos_openat2(dirfd, ffi.from_buffer(name + b"\0"), flags | os.O_CLOEXEC, mode, resolve)
    return checked(fd, name)
