"""setfsuid(2): whose files one thread may open. The other threads, and what this one may do else, stay as they are."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked


@contextmanager
def files_of(uid: int, gid: int, groups: Sequence[int]) -> Iterator[None]:
    """Open files with this user's rights alone, in this thread, until the with-block ends. Needs root.

    A thread that is started inside begins with the same rights.
    """
    own = os.getgroups()
    _set(uid, gid, groups)
    try:
        yield
    finally:
        _set(os.geteuid(), os.getegid(), own)


def _set(uid: int, gid: int, groups: Sequence[int]) -> None:
    array = ffi.new("uint32_t[]", list(groups))
    checked(lib.mlos_set_thread_identity(uid, gid, array, len(groups)), "setfsuid")
