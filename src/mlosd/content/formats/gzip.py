"""gzip and zlib: what is inside counts, seen through the first megabyte; joblib compresses so as well."""

import zlib

from mlosd.content import within
from mlosd.content.format import Format, Strength
from mlosd.content.identity import Identity
from mlosd.content.window import Window

_GZIP = b"\x1f\x8b\x08"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith((_GZIP, *_ZLIB))


def describe(window: Window) -> Identity | None:
    name = "gzip" if window.head.startswith(_GZIP) else "zlib"
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    packed = window.at(0, within.MOST_PACKED)
    try:
        unpacked = unpacker.decompress(packed, within.MOST_UNPACKED)
    except zlib.error:
        return None
    ended = unpacker.eof or len(unpacked) >= within.MOST_UNPACKED or len(packed) < window.size
    return within.identity(name, window, unpacked, complete=ended)


FORMAT = Format("gzip", Strength.CONTAINER, matches, describe, extensions=(".gz",))
