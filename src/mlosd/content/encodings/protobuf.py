"""Protocol buffers as they lie in the file: field numbers, wire types, places. Bounded, and lazy: nothing is copied."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlosd.content.window import Damaged, Window

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIZES = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10
_MOST_FIELD = 536_870_911


@dataclass(frozen=True, slots=True)
class Field:
    """`value`: of a varint; of bytes, their length. `end` may lie behind the end of a file that was cut."""

    number: int
    wire: int
    value: int
    at: int
    end: int


class Message:
    """The bytes from `at` to `end` of a window, as a message."""

    __slots__ = ("at", "end", "window")

    def __init__(self, window: Window, at: int, end: int) -> None:
        self.window = window
        self.at = at
        self.end = end

    def fields(self, most: int) -> Iterator[Field]:
        """The fields, one after the other, up to `most`. Raises Damaged where there is none."""
        place = self.at
        for _ in range(most):
            if place >= min(self.end, self.window.size):
                return
            key, place = self._varint(place)
            number, wire = key >> 3, key & 7
            if not 0 < number <= _MOST_FIELD:
                raise Damaged("a field in it has no number")
            if wire == VARINT:
                start = place
                value, place = self._varint(place)
                yield Field(number, wire, value, start, place)
                continue
            start = place
            if wire == BYTES:
                size, start = self._varint(place)
            elif wire in _SIZES:
                size = _SIZES[wire]
            else:
                raise Damaged("a field in it is of no type")
            if start + size > self.end:
                raise Damaged("a field in it is longer than what it is in")
            place = start + size
            yield Field(number, wire, size, start, place)

    def inner(self, field: Field) -> "Message":
        """The message that a field of bytes is."""
        return Message(self.window, field.at, field.end)

    def text(self, field: Field, most: int = 400) -> str:
        """The string that a field of bytes is, cut."""
        return self.window.near(field.at, min(field.value, most)).decode("utf-8", "replace")

    def _varint(self, place: int) -> tuple[int, int]:
        data = (
            self.window.near(place, min(_LONGEST_VARINT, self.window.size - place)) if place < self.window.size else b""
        )
        value = 0
        for index, byte in enumerate(data[:_LONGEST_VARINT]):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, place + index + 1
        raise Damaged("a number in it does not end")
