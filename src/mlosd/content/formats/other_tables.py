"""Tables that are named and not looked into: ORC, Avro, ARFF. Cut off: an ORC without its mark at the end."""

from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window

_ORC, _AVRO = b"ORC", b"Obj\x01"
_ARFF = (b"@relation", b"@RELATION", b"@Relation")


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith((_ORC, _AVRO, *_ARFF)) or (head[:1] == b"%" and any(mark in head[:8192] for mark in _ARFF))


def describe(window: Window) -> Identity:
    if window.head.startswith(_ORC):
        return Identity("orc", DATASET, _ORC in window.tail(64))
    return Identity("avro" if window.head.startswith(_AVRO) else "arff", DATASET)


FORMAT = Format("table", Strength.SAID, matches, describe)
