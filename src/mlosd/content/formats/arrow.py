"""Arrow IPC: the file format (ARROW1 at both ends, Feather 2) and the stream (what datasets of Hugging Face are).

Cut off: a file without its ending, a stream without its end mark or whose last message is longer than the file.
"""

import struct
from typing import Any

from mlosd.content import facts
from mlosd.content.encodings.flatbuffer import Table, root
from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Damaged, Window

_MAGIC = b"ARROW1"
_FEATHER1 = b"FEA1"
_CONTINUES = b"\xff\xff\xff\xff"
_SCHEMA_MESSAGE = 1
_LONGEST = 16 << 20
_MOST_MESSAGES = 5000
_MESSAGE_KIND, _MESSAGE_HEADER, _MESSAGE_BODY = 1, 2, 3
_FOOTER_SCHEMA, _FOOTER_BATCHES, _SCHEMA_FIELDS, _FIELD_NAME = 1, 3, 1, 0


def matches(head: bytes, _: bytes) -> bool:
    if head[:4] == _CONTINUES and len(head) > 8:
        return 8 <= int.from_bytes(head[4:8], "little") <= _LONGEST
    return head.startswith((_MAGIC, _FEATHER1))


def describe(window: Window) -> Identity | None:
    if window.head.startswith(_CONTINUES):
        return _stream(window)
    if window.head.startswith(_FEATHER1):
        return Identity("feather 1", DATASET, window.tail(4) == _FEATHER1)
    if window.tail(6) != _MAGIC or window.size < 24:
        return Identity("arrow", DATASET, complete=False)
    (size,) = struct.unpack("<i", window.tail(10)[:4])
    start = window.size - 10 - size
    if size <= 0 or start < 8:
        raise Damaged("its footer is longer than itself")
    footer = root(window, start)
    told = {**_columns(footer.table(_FOOTER_SCHEMA)), "batches": footer.length(_FOOTER_BATCHES)}
    return Identity("arrow", DATASET, True, told)


def _stream(window: Window) -> Identity | None:
    try:
        first, _ = _message(window, 0)
    except Damaged:
        return None
    if first is None or first.number(_MESSAGE_KIND, "B") != _SCHEMA_MESSAGE:
        return None
    place: int | None = 0
    messages = 0
    try:
        while place is not None and place < window.size and messages < _MOST_MESSAGES:
            _, place = _message(window, place)
            messages += 1
        complete = place is None or messages == _MOST_MESSAGES or place == window.size
    except Damaged:
        complete = False
    return Identity("arrow stream", DATASET, complete, _columns(first.table(_MESSAGE_HEADER)))


def _message(window: Window, at: int) -> tuple[Table | None, int | None]:
    """The message there, and where the next one begins; None: the stream ends."""
    mark, size = struct.unpack("<4si", window.exactly(at, 8))
    if mark != _CONTINUES or not 0 <= size <= _LONGEST:
        raise Damaged("a message in it is none")
    if size == 0:
        return None, None
    message = root(window, at + 8)
    body = message.number(_MESSAGE_BODY, "q") or 0
    if body < 0 or at + 8 + size + body > window.size:
        raise Damaged("it ends too early")
    return message, at + 8 + size + body


def _columns(schema: Table | None) -> dict[str, Any]:
    fields = schema.tables(_SCHEMA_FIELDS) if schema else []
    return {"columns": len(fields), "names": facts.first(facts.text(field.text(_FIELD_NAME)) for field in fields)}


FORMAT = Format("arrow", Strength.MAGIC, matches, describe, extensions=(".arrow", ".feather"))
