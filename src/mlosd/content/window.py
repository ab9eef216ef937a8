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


class _Allowance:
    """How much may still be read of one file, by all its windows together."""

    __slots__ = ("bytes", "reads")

    def __init__(self) -> None:
        self.bytes = _MOST_BYTES
        self.reads = _MOST_READS

    def spend(self, length: int) -> None:
        self.bytes -= length
        self.reads -= 1
        if self.bytes < 0 or self.reads < 0:
            raise TooMuch("its header is too long")


class Window:
    """A file, or a part of one. `read(length, offset)` gives bytes of it; fewer where it ends."""

    __slots__ = ("_ahead", "_ahead_at", "_allowance", "_notes", "_read", "head", "is_unpacked", "name", "size")

    def __init__(
        self, read: Callable[[int, int], bytes], *, size: int, name: bytes, allowance: _Allowance | None = None
    ) -> None:
        self.size = size
        self.name = name
        self.is_unpacked = False
        self._read = read
        self._allowance = allowance or _Allowance()
        self._notes: dict[Callable[[Window], object], object] = {}
        self._ahead = b""
        self._ahead_at = 0
        self.head = read(min(HEAD, size), 0) if size else b""

    @classmethod
    def of_fd(cls, fd: int, *, size: int, name: bytes) -> "Window":
        """A file, by its descriptor; which stays the caller's, with its position."""
        return cls(lambda length, offset: os.pread(fd, length, offset), size=size, name=name)

    @classmethod
    def of_bytes(cls, content: bytes, *, name: bytes) -> "Window":
        """A file that is in memory."""
        return cls(lambda length, offset: content[offset : offset + length], size=len(content), name=name)

    @classmethod
    def unpacked(cls, content: bytes, *, name: bytes) -> "Window":
        """The beginning of a file that was compressed inside another."""
        window = cls.of_bytes(content, name=name)
        window.is_unpacked = True
        return window

    def part(self, offset: int, size: int, *, name: bytes) -> "Window":
        """A file inside this one; what is read of it counts here."""
        size = max(0, min(size, self.size - offset))
        self._allowance.spend(min(HEAD, size))
        return Window(
            lambda length, at: self._read(min(length, size - at), offset + at),
            size=size,
            name=name,
            allowance=self._allowance,
        )

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
        self._allowance.spend(end - offset)
        return self._read(end - offset, offset)

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

    def once(self, look: "Callable[[Window], T]") -> T:
        """What `look` finds in this window; several formats may ask, it looks once."""
        if look not in self._notes:
            self._notes[look] = look(self)
        return self._notes[look]  # type: ignore[return-value]
