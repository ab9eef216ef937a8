"""A bounded look into a file: its first bytes, its last, and a limited number of reads in between.

What a parser asks for comes from a file that may have been made to hurt it: a window never gives more than it was
asked for, never reads past the end, and after so many bytes or reads it gives nothing at all.
"""

import os
import posixpath
from collections.abc import Callable
from typing import TypeVar

from mlosd.core.errors import MlosError

T = TypeVar("T")

HEAD = 64 << 10
_MOST_BYTES = 24 << 20
_MOST_READS = 20_000
_AHEAD = 64 << 10


class TooMuch(MlosError):
    """A parser wants to read more of a file than anybody's header is long."""


class Damaged(MlosError):
    """A file is not what its first bytes say, or breaks off; the message says in which way."""


class Window:
    """One file, by its descriptor. Owns no file position and not the descriptor."""

    __slots__ = ("_ahead", "_ahead_at", "_bytes_left", "_fd", "_notes", "_reads_left", "head", "name", "size")

    def __init__(self, fd: int, *, size: int, name: bytes) -> None:
        self.size = size
        self.name = name
        self._fd = fd
        self._bytes_left = _MOST_BYTES
        self._reads_left = _MOST_READS
        self._notes: dict[Callable[[Window], object], object] = {}
        self._ahead = b""
        self._ahead_at = 0
        self.head = os.pread(fd, min(HEAD, size), 0) if size else b""

    @property
    def is_whole(self) -> bool:
        """Whether `head` is all of the file."""
        return len(self.head) == self.size

    @property
    def extension(self) -> str:
        """What the name ends in: ".csv". A hint, never a proof."""
        return posixpath.splitext(self.name.decode("latin-1"))[1].lower()

    def at(self, offset: int, length: int) -> bytes:
        """So many bytes from there; fewer where the file ends. Raises TooMuch."""
        if offset < 0 or length < 0:
            raise Damaged("it points before its own beginning")
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        if end <= len(self.head):
            return self.head[offset:end]
        self._bytes_left -= end - offset
        self._reads_left -= 1
        if self._bytes_left < 0 or self._reads_left < 0:
            raise TooMuch("its header is too long")
        return os.pread(self._fd, end - offset, offset)

    def near(self, offset: int, length: int) -> bytes:
        """As `at`, for many short reads one behind the other: whole pieces are read and kept."""
        if offset + length <= len(self.head):
            return self.at(offset, length)
        start = offset - self._ahead_at
        if start < 0 or start + length > len(self._ahead):
            self._ahead = self.at(offset, max(length, _AHEAD))
            self._ahead_at = offset
            start = 0
        return self._ahead[start : start + length]

    def exactly(self, offset: int, length: int) -> bytes:
        """So many bytes from there. Raises Damaged where the file ends before."""
        found = self.near(offset, length)
        if len(found) != length:
            raise Damaged("it ends too early")
        return found

    def tail(self, length: int) -> bytes:
        """The last bytes."""
        return self.at(max(0, self.size - length), length)

    def once(self, look: Callable[["Window"], T]) -> T:
        """What `look` finds in this window; several formats may ask, it looks once."""
        if look not in self._notes:
            self._notes[look] = look(self)
        return self._notes[look]  # type: ignore[return-value]
