"""TensorFlow's saved_model.pb: a protobuf with schema version 1 and one graph or more.

Cut off: the last field does not end with the file. Its variables lie in other files.
"""

from mlosd.content.encodings.protobuf import BYTES, VARINT, Message
from mlosd.content.format import Format, Strength
from mlosd.content.identity import MODEL, Identity
from mlosd.content.window import Damaged, Window

_META_GRAPHS = 2


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(b"\x08\x01\x12")


def describe(window: Window) -> Identity | None:
    graphs = end = 0
    try:
        for field in Message(window, 0, 2**63).fields(100):
            end = field.end
            if (field.number, field.wire) == (_META_GRAPHS, BYTES):
                graphs += 1
            elif (field.number, field.wire) != (1, VARINT):
                return None
    except Damaged:
        return None
    if not graphs:
        return None
    return Identity("tensorflow saved model", MODEL, end == window.size, {"graphs": graphs})


FORMAT = Format("tensorflow saved model", Strength.SHAPE, matches, describe)
