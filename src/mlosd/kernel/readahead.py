"""Bring a file into the page cache: read(2); and out of it: posix_fadvise(2).

By reading, not by POSIX_FADV_WILLNEED or readahead(2): those serve at most max(read-ahead window, largest request of
the device) for one call, however long the range, and always in single pages (mm/readahead.c, force_page_cache_ra).
Who reads on and on gets ever larger folios, of which a later mmap(2) takes up to eight times fewer faults (measured on
Linux 6.18, ext4).
"""

import os
from collections.abc import Iterator

CHUNK = 1 << 20
"""What is read at once, into a buffer that is used again."""


def chunks(offset: int, length: int, *, size: int = CHUNK) -> Iterator[tuple[int, int]]:
    """A range in pieces, (offset, length)."""
    end = offset + length
    while offset < end:
        yield offset, min(size, end - offset)
        offset += size


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
