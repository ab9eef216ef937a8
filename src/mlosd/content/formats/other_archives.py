"""Archives that are named and not looked into: zstd, lz4, 7z, rar."""

from mlosd.content.format import Format, Strength
from mlosd.content.identity import Identity
from mlosd.content.window import Window

_MAGICS = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
}


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(tuple(_MAGICS))


def describe(window: Window) -> Identity:
    return Identity(next(name for magic, name in _MAGICS.items() if window.head.startswith(magic)))


FORMAT = Format("archive", Strength.MAGIC, matches, describe)
