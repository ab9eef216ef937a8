"""How long the bytes of an array are that joblib wrote into the middle of a pickle (joblib.numpy_pickle)."""

import math
import re

from mlosd.content.encodings.pickled import Global, Made, Sequence, Value, items_of
from mlosd.content.encodings.stream import Stream
from mlosd.content.window import Damaged

WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")

_ITEM = re.compile(r"[<>|=]?([a-zA-Z])(\d{1,9})(?:\[.*\])?")


def array_size(state: Value, stream: Stream) -> int | None:
    """Its length in bytes; None: it has objects, and is a pickle of its own. Takes the padding from the stream."""
    attributes = {key: value for key, value in items_of(state) or () if isinstance(key, str)}
    item_size = _item_size(attributes.get("dtype"))
    if item_size is None:
        return None
    shape = attributes.get("shape")
    dimensions = shape.items if isinstance(shape, Sequence) else [shape]
    if not all(isinstance(length, int) and 0 <= length < 2**63 for length in dimensions):
        raise Damaged("an array in it has no shape")
    if attributes.get("numpy_array_alignment_bytes") is not None:
        stream.skip(stream.u8())
    return item_size * math.prod(dimensions)


def _item_size(dtype: Value) -> int | None:
    words = dtype.arguments[0] if isinstance(dtype, Made) and dtype.arguments else None
    match = _ITEM.fullmatch(words) if isinstance(words, str) else None
    if match is None:
        raise Damaged("an array in it has no type")
    if match[1] == "O":
        return None
    return int(match[2]) * (4 if match[1] == "U" else 1)
