"""cachestat(2), Linux 6.5: how much of a file is in the page cache. Reads no page and maps nothing."""

import os
from dataclasses import dataclass

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class CacheStat:
    """Pages. `evicted`: were there and had to go; `recently_evicted`: so recently that they are missed."""

    cached: int
    dirty: int
    writeback: int
    evicted: int
    recently_evicted: int


def cachestat(fd: int, *, offset: int = 0, length: int = 0) -> CacheStat:
    """Of a range; length 0: to the end. ENOSYS: an older kernel; EPERM: not ours to know; EOPNOTSUPP: hugetlbfs."""
    pages = ffi.new("struct mlos_cachestat *")
    checked(lib.mlos_cachestat(fd, offset, length, pages), fd)
    return CacheStat(pages.cached, pages.dirty, pages.writeback, pages.evicted, pages.recently_evicted)


def resident(fd: int, *, offset: int, length: int) -> int:
    """Bytes of this range that are in the page cache; its last page counts as far as the range goes."""
    if length <= 0:
        return 0
    pages = cachestat(fd, offset=offset, length=length).cached
    # A page that the range only touches counts whole.
    return min(length, pages * PAGE)
