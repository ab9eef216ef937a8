"""Compiled Python: the magic number of the version that made it, then \\r\\n."""

from mlosd.content.format import Format, Strength
from mlosd.content.identity import CODE, Identity
from mlosd.content.window import Window

# Since Python 3.7 the header has 16 bytes, of which the second four are flags: 0, 1 or 3 (PEP 552).
_FIRST_MAGIC, _LAST_MAGIC = 3390, 4600
_FLAGS = (0, 1, 3)
_CODE = (0xE3, 0x63)  # a code object, marked for references or not


def matches(head: bytes, _: bytes) -> bool:
    return len(head) > 16 and head[2:4] == b"\r\n" and head[16] in _CODE


def describe(window: Window) -> Identity | None:
    magic = int.from_bytes(window.head[:2], "little")
    if not _FIRST_MAGIC <= magic <= _LAST_MAGIC or int.from_bytes(window.head[4:8], "little") not in _FLAGS:
        return None
    return Identity("pyc", CODE, True, {"magic": magic})


FORMAT = Format("pyc", Strength.MAGIC, matches, describe, extensions=(".pyc",))
