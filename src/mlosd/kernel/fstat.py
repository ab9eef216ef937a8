"""fstat(2) as the kernel knows it. os.fstat asks by newfstatat(2), with a path: a sandbox may refuse that."""

import stat
from dataclasses import dataclass

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked


@dataclass(frozen=True, slots=True)
class Status:
    """What tells a file that changed from one that did not."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)


_native = ffi.new("struct mlos_stat *")


def fstat(fd: int) -> Status:
    """Ask the kernel. Not for several threads at once."""
    checked(lib.mlos_fstat(fd, _native), fd)
    return Status(_native.mode, _native.size, _native.mtime_ns, _native.ctime_ns)
