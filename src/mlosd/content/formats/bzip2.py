"""bzip2: what is inside counts, seen through the first megabyte."""

import bz2

from mlosd.content import within
from mlosd.content.format import Format, Strength
from mlosd.content.identity import Identity
from mlosd.content.window import Window


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(b"BZh") and head[4:10] == b"1AY&SY"


def describe(window: Window) -> Identity:
    unpacker = bz2.BZ2Decompressor()
    try:
        unpacked = unpacker.decompress(window.at(0, within.MOST_PACKED), within.MOST_UNPACKED)
    except OSError:  # which here means damaged
        return Identity("bzip2", complete=False)
    return within.identity("bzip2", window, unpacked)


FORMAT = Format("bzip2", Strength.MAGIC, matches, describe, extensions=(".bz2",))
