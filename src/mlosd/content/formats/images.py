"""Images: PNG, JPEG, GIF, BMP, TIFF, WebP, JPEG XL, AVIF. Cut off: a PNG without IEND, a JPEG without its end mark, a
WebP shorter than it says.
"""

import struct

from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_MAGICS = {
    _PNG: "png",
    _JPEG: "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"\xff\x0a": "jpeg xl",
    b"\0\0\0\x0cJXL ": "jpeg xl",
}


def matches(head: bytes, _: bytes) -> bool:
    return _name(head) is not None


def describe(window: Window) -> Identity:
    name, head = _name(window.head) or "image", window.head
    complete = True
    told = {}
    match name:
        case "png":
            complete = b"IEND\xaeB`\x82" in window.tail(4096)
            if len(head) >= 24:
                told["width"], told["height"] = struct.unpack_from(">II", head, 16)
        case "jpeg":
            # Cameras write more behind the end mark; so do cut files not.
            complete = b"\xff\xd9" in window.tail(4096)
        case "webp":
            complete = int.from_bytes(head[4:8], "little") + 8 <= window.size
    return Identity(name, DATASET, complete, told)


def _name(head: bytes) -> str | None:
    if head[8:12] == b"WEBP" and head.startswith(b"RIFF"):
        return "webp"
    if head[4:12] in (b"ftypavif", b"ftypheic"):
        return "avif" if head[8:12] == b"avif" else "heic"
    if head.startswith(b"BM") and len(head) >= 18 and int.from_bytes(head[14:18], "little") in (12, 40, 108, 124):
        return "bmp"
    return next((name for magic, name in _MAGICS.items() if head.startswith(magic)), None)


FORMAT = Format("image", Strength.MAGIC, matches, describe)
