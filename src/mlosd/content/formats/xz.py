"""xz: what is inside counts, seen through the first megabyte. Cut off: no YZ at the end."""

import lzma

from mlosd.content import within
from mlosd.content.format import Format, Strength
from mlosd.content.identity import Identity
from mlosd.content.window import Window

_MAGIC = b"\xfd7zXZ\0"
_MEMORY = 100 << 20  # a header may ask for gigabytes


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(_MAGIC)


def describe(window: Window) -> Identity:
    complete = window.tail(2) == b"YZ"
    try:
        unpacker = lzma.LZMADecompressor(memlimit=_MEMORY)
        unpacked = unpacker.decompress(window.at(0, within.MOST_PACKED), within.MOST_UNPACKED)
    except lzma.LZMAError:
        return Identity("xz", complete=complete, warnings=("it cannot be unpacked",))
    return within.identity("xz", window, unpacked, complete=complete)


FORMAT = Format("xz", Strength.MAGIC, matches, describe, extensions=(".xz",))
