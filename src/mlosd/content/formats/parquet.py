"""Parquet: PAR1 at both ends; a footer in Thrift has the columns and how many rows. Cut off: no PAR1 at the end."""

import struct
from typing import Any

from mlosd.content import facts
from mlosd.content.encodings.thrift_compact import BINARY, I32, I64, LIST, Reader
from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Damaged, Window

_MAGICS = (b"PAR1", b"PARE")  # plain, and with an encrypted footer
_END_SIZE = 8
_MOST_FOOTER = 16 << 20
_MOST_READ = 2 << 20
_SCHEMA, _ROWS = 2, 3
_NAME, _CHILDREN = 4, 5


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(_MAGICS)


def describe(window: Window) -> Identity:
    end = window.tail(_END_SIZE)
    if window.size < 12 or end[4:] not in _MAGICS:
        return Identity("parquet", DATASET, complete=False)
    (size,) = struct.unpack("<I", end[:4])
    if size > min(_MOST_FOOTER, window.size - 12):
        raise Damaged("its footer is longer than itself")
    if end[4:] == b"PARE":
        return Identity("parquet", DATASET, True, {"encrypted": True})
    # The schema and the number of rows stand before the row groups, which may be many.
    footer = Reader(window.at(window.size - _END_SIZE - size, min(size, _MOST_READ)))
    told: dict[str, Any] = {}
    for number, type_ in footer.fields():
        if number == _SCHEMA and type_ == LIST:
            columns = [name for name, children in footer.items(lambda: _element(footer)) if not children]
            told |= {"columns": len(columns), "names": facts.first(columns)}
        elif number == _ROWS and type_ == I64:
            told["rows"] = footer.integer()
            break
        else:
            footer.skip(type_)
    return Identity("parquet", DATASET, True, told)


def _element(footer: Reader) -> tuple[str, int]:
    """The name of a node of the schema, and how many are below it."""
    name, children = "", 0
    for number, type_ in footer.fields():
        if number == _NAME and type_ == BINARY:
            name = facts.text(footer.binary(), most=200)
        elif number == _CHILDREN and type_ == I32:
            children = footer.integer()
        else:
            footer.skip(type_)
    return name, children


FORMAT = Format("parquet", Strength.MAGIC, matches, describe, extensions=(".parquet",))
