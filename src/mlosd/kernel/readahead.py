"""Bring a part of a file into the page cache: posix_fadvise(2), read(2).

The kernel reads at most max(read-ahead window, largest request of the device) for one call, however long the range
(mm/readahead.c, force_page_cache_ra): a whole file needs many calls, and a look at what came of them.
"""

import os
from collections.abc import Iterator

CHUNK = 1 << 20
"""What one call may ask for and be served whole, by nearly every device."""


def chunks(offset: int, length: int, *, size: int = CHUNK) -> Iterator[tuple[int, int]]:
    """A range in pieces, (offset, length)."""
    end = offset + length
    while offset < end:
        yield offset, min(size, end - offset)
        offset += size


def will_need(fd: int, *, offset: int, length: int) -> None:
    """Let the kernel read a range in its own time, a chunk a call. Waits only while the device's queue is full."""
    for at, size in chunks(offset, length):
        os.posix_fadvise(fd, at, size, os.POSIX_FADV_WILLNEED)


def dont_need(fd: int) -> None:
    """Let go of the file's clean pages."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def read_through(fd: int, buffer: bytearray, *, offset: int, length: int) -> int:
    """Read a range, a buffer at a time, and keep nothing of it; how many bytes there were. Waits for the device."""
    view, done = memoryview(buffer), 0
    while done < length:
        got = os.preadv(fd, [view[: min(len(buffer), length - done)]], offset + done)
        if got == 0:
            break
        done += got
    return done
