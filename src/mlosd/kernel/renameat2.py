"""renameat2(2): rename within directories that are held open, onto nothing, or so that two names change places."""

import os

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked

RENAME_NOREPLACE = 0x1
RENAME_EXCHANGE = 0x2


def renameat2(old: bytes, new: bytes, *, old_dirfd: int, new_dirfd: int, flags: int = 0) -> None:
    """Rename. EINVAL: this file system does not know the flags; EEXIST: with RENAME_NOREPLACE, `new` is there."""
    if b"\0" in old + new:
        raise ValueError("a NUL byte in a path")
    names = ffi.from_buffer(old + b"\0"), ffi.from_buffer(new + b"\0")
    checked(lib.mlos_renameat2(old_dirfd, names[0], new_dirfd, names[1], flags), os.fsdecode(new))
