"""What is inside a compressed file: the beginning, unpacked up to a bound, is described as if it were the file."""

import posixpath
from typing import Any

from mlosd.content.identity import DATASET, MODEL, UNKNOWN, Identity
from mlosd.content.window import Window

MOST_UNPACKED = 1 << 20
MOST_PACKED = 1 << 20


def identity(format_: str, window: Window, unpacked: bytes, *, complete: bool = True) -> Identity:
    """The identity of a file in `format_`, whose content begins with `unpacked`."""
    if window.is_unpacked:  # there are files that contain themselves
        return Identity(format_, None, complete)
    from mlosd.content.describe import describe  # noqa: PLC0415 - it knows this format, and this format needs it

    inner = describe(Window.unpacked(unpacked, name=posixpath.splitext(window.name)[0])) if unpacked else None
    if inner is None or inner.format == UNKNOWN:
        return Identity(format_, None, complete)
    told: dict[str, Any] = {"inside": inner.format, **inner.header}
    role = inner.role if inner.role in (DATASET, MODEL) else None
    # That it breaks off is our doing: we unpack the beginning only.
    return Identity(format_, role, complete, told, tuple(words for words in inner.warnings if "damaged" not in words))
