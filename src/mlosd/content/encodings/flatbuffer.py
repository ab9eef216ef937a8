"""Flatbuffers: tables whose fields are found by way of offsets, each checked by the window."""

import struct
from typing import Any

from mlosd.content.window import Damaged, Window

_MOST_ITEMS = 10_000


class Table:
    """A table; a field that is not there has no value."""

    __slots__ = ("_at", "_fields", "_window")

    def __init__(self, window: Window, at: int) -> None:
        self._window = window
        self._at = at
        fields_at = at - _unpack(window, at, "i")
        size = _unpack(window, fields_at, "H")
        if not 4 <= size <= 4096:
            raise Damaged("a table in it has no fields")
        count = (size - 4) // 2
        self._fields = struct.unpack(f"<{count}H", window.exactly(fields_at + 4, count * 2))

    def number(self, field: int, code: str) -> Any:
        """A number; None: it has its default."""
        place = self._place(field)
        return None if place is None else _unpack(self._window, place, code)

    def text(self, field: int) -> bytes:
        """A string, cut; empty where there is none."""
        place = self._target(field)
        if place is None:
            return b""
        length = _unpack(self._window, place, "I")
        return self._window.near(place + 4, min(length, 400))

    def length(self, field: int) -> int:
        """How many items a vector has."""
        place = self._target(field)
        return 0 if place is None else int(_unpack(self._window, place, "I"))

    def table(self, field: int) -> "Table | None":
        place = self._target(field)
        return None if place is None else Table(self._window, place)

    def tables(self, field: int) -> "list[Table]":
        """The tables of a vector, the first ten thousand."""
        start = self._target(field)
        if start is None:
            return []
        places = range(start + 4, start + 4 + 4 * min(self.length(field), _MOST_ITEMS), 4)
        return [Table(self._window, place + _unpack(self._window, place, "I")) for place in places]

    def _place(self, field: int) -> int | None:
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._at + offset if offset else None

    def _target(self, field: int) -> int | None:
        place = self._place(field)
        return None if place is None else place + _unpack(self._window, place, "I")


def root(window: Window, at: int) -> Table:
    """The table that a buffer begins with."""
    return Table(window, at + _unpack(window, at, "I"))


def _unpack(window: Window, at: int, code: str) -> Any:
    if at < 0:
        raise Damaged("it points before its own beginning")
    (value,) = struct.unpack("<" + code, window.exactly(at, struct.calcsize(code)))
    return value
