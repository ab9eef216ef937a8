"""fanotify_init(2) and fanotify_mark(2), as they are. Reading events belongs to whoever made the group."""

import os
from pathlib import Path

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked

FAN_CLOEXEC = 0x1
FAN_NONBLOCK = 0x2
FAN_CLASS_NOTIF = 0x0
FAN_UNLIMITED_QUEUE = 0x10
FAN_REPORT_PIDFD = 0x80
FAN_REPORT_FID = 0x200
FAN_REPORT_DIR_FID = 0x400
FAN_REPORT_NAME = 0x800
FAN_REPORT_TARGET_FID = 0x1000

FAN_MARK_ADD = 0x1
FAN_MARK_REMOVE = 0x2
FAN_MARK_MOUNT = 0x10
FAN_MARK_FILESYSTEM = 0x100

FAN_ACCESS = 0x1
FAN_MODIFY = 0x2
FAN_CLOSE_WRITE = 0x8
FAN_CLOSE_NOWRITE = 0x10
FAN_OPEN = 0x20
FAN_MOVED_FROM = 0x40
FAN_MOVED_TO = 0x80
FAN_CREATE = 0x100
FAN_DELETE = 0x200
FAN_OPEN_EXEC = 0x1000
FAN_RENAME = 0x10000000
FAN_EVENT_ON_CHILD = 0x08000000
FAN_ONDIR = 0x40000000

_AT_FDCWD = -100


def fanotify_init(flags: int, *, event_flags: int = os.O_RDONLY) -> int:
    """A new group; its fd is inherited by no program."""
    return checked(lib.mlos_fanotify_init(flags | FAN_CLOEXEC, event_flags | os.O_CLOEXEC), "fanotify_init")


def fanotify_mark(group: int, flags: int, mask: int, path: Path | str, *, dirfd: int = _AT_FDCWD) -> None:
    """Add or remove a mark at `path`."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("a NUL byte in a path")
    checked(lib.mlos_fanotify_mark(group, flags, mask, dirfd, ffi.from_buffer(name + b"\0")), name)


def fanotify_mark_fd(group: int, flags: int, mask: int, fd: int) -> None:
    """Add or remove a mark at an open file or directory."""
    checked(lib.mlos_fanotify_mark(group, flags, mask, fd, ffi.NULL), fd)
