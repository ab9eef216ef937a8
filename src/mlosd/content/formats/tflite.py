"""TensorFlow Lite (LiteRT): a flatbuffer with the identifier TFL3."""

import struct

from mlosd.content import facts
from mlosd.content.encodings.flatbuffer import root
from mlosd.content.format import Format, Strength
from mlosd.content.identity import MODEL, Identity
from mlosd.content.window import Window

_VERSION, _OPERATORS, _SUBGRAPHS, _DESCRIPTION = 0, 1, 2, 3


def matches(head: bytes, _: bytes) -> bool:
    return head[4:8] == b"TFL3"


def describe(window: Window) -> Identity:
    model = root(window, 0)
    told = {
        "version": model.number(_VERSION, "I"),
        "operators": model.length(_OPERATORS),
        "subgraphs": model.length(_SUBGRAPHS),
        "description": facts.text(model.text(_DESCRIPTION)),
    }
    (place,) = struct.unpack_from("<I", window.head)
    return Identity("tflite", MODEL, place < window.size, told)


FORMAT = Format("tflite", Strength.MAGIC, matches, describe, extensions=(".tflite",))
