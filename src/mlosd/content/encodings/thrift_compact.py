"""Thrift's compact protocol, as far as the footer of a Parquet file needs it: structs, lists, numbers, strings."""

from collections.abc import Callable, Iterator
from typing import Any

from mlosd.content.window import Damaged

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_DEPTH = 16
_LONGEST_VARINT = 10


class Reader:
    """A position in bytes."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct. The caller takes or skips each value before the next."""
        number = 0
        while True:
            header = self._byte()
            if header == 0:
                return
            number = number + (header >> 4) if header >> 4 else self.integer()
            yield number, header & 0x0F

    def items(self, read: Callable[[], Any]) -> Iterator[Any]:
        """Each item of a list, as `read` takes it."""
        count, _ = self._list_header()
        for _ in range(count):
            yield read()

    def integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        length = self._varint()
        if length > len(self._data) - self._at:
            raise Damaged("it ends too early")
        self._at += length
        return self._data[self._at - length : self._at]

    def skip(self, type_: int, depth: int = _DEPTH) -> None:
        """Go on behind a value."""
        if not depth:
            raise Damaged("it is nested too deeply")
        match type_:
            case 1 | 2:
                pass
            case 3:
                self._byte()
            case 4 | 5 | 6:
                self._varint()
            case 7:
                self._at += 8
            case 8:
                self.binary()
            case 9 | 10:
                count, item = self._list_header()
                for _ in range(count):
                    self.skip(item if item > FALSE else BYTE, depth - 1)
            case 12:
                for _, field in self.fields():
                    self.skip(field, depth - 1)
            case _:
                raise Damaged("a value in it has no type")

    def _list_header(self) -> tuple[int, int]:
        header = self._byte()
        count = header >> 4 if header >> 4 < 15 else self._varint()
        if count > len(self._data) - self._at:
            raise Damaged("a list in it is longer than itself")
        return count, header & 0x0F

    def _varint(self) -> int:
        value = 0
        for index in range(_LONGEST_VARINT):
            byte = self._byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value
        raise Damaged("a number in it does not end")

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise Damaged("it ends too early")
        self._at += 1
        return self._data[self._at - 1]
