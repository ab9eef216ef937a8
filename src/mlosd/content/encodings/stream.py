"""Reading a window from front to back: numbers, strings, lines. Raises Damaged where it ends."""

import struct

from mlosd.content.window import Damaged, Window

_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_I32, _F64 = struct.Struct("<i"), struct.Struct(">d")


class Stream:
    """A position in a window."""

    __slots__ = ("_buffer", "_buffer_at", "_window", "at")

    def __init__(self, window: Window, at: int = 0) -> None:
        self.at = at
        self._window = window
        self._buffer = window.head
        self._buffer_at = 0

    def take(self, length: int) -> bytes:
        """The next bytes."""
        start = self.at - self._buffer_at
        if start < 0 or start + length > len(self._buffer):
            self._buffer = self._window.at(self.at, max(length, 64 << 10))
            self._buffer_at, start = self.at, 0
            if len(self._buffer) < length:
                raise Damaged("it ends too early")
        self.at += length
        return self._buffer[start : start + length]

    def skip(self, length: int) -> None:
        """Go on behind these bytes, unread."""
        if length > self._window.size - self.at:
            raise Damaged("it ends too early")
        self.at += length

    def some(self, length: int, most: int) -> bytes:
        """The next bytes, of which the first `most` are read."""
        found = self.take(min(length, most))
        self.skip(length - len(found))
        return found

    def line(self, most: int) -> bytes:
        """Up to the next newline, which is taken as well."""
        start = self.at
        piece = self._window.near(start, min(most, self._window.size - start)) if start < self._window.size else b""
        end = piece.find(b"\n")
        if end < 0:
            raise Damaged("a line in it does not end")
        self.at = start + end + 1
        return piece[:end]

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int(_U16.unpack(self.take(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    def i32(self) -> int:
        return int(_I32.unpack(self.take(4))[0])

    def f64_big_endian(self) -> float:
        return float(_F64.unpack(self.take(8))[0])
