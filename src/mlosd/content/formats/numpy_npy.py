"""numpy's .npy: a magic, a header with type and shape, the numbers. Cut off: fewer numbers than the shape says."""

import math
import re
import struct

from mlosd.content.encodings.pickle_machine import beginning
from mlosd.content.encodings.stream import Stream
from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.pickle_kinds import dangers
from mlosd.content.window import Damaged, Window

_MAGIC = b"\x93NUMPY"
_LONGEST = 16 << 10  # numpy itself refuses more than 10,000
# What numpy writes, and no more: a header is a Python literal, which we do not evaluate.
_DESCRIPTION = re.compile(r"'descr':\s*(.*?),\s*'fortran_order'", re.DOTALL)
_SHAPE = re.compile(r"'shape':\s*\(([\d,\sL]*)\)")
_SIMPLE = re.compile(r"'[<>|=]?([a-zA-Z])(\d{0,9})(?:\[.*\])?'")


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(_MAGIC) and len(head) > 10


def describe(window: Window) -> Identity:
    major = window.head[6]
    at = 10 if major == 1 else 12
    (length,) = struct.unpack_from("<H" if major == 1 else "<I", window.exactly(8, at - 8))
    if length > _LONGEST:
        raise Damaged("it is longer than any array's")
    header = window.exactly(at, length).decode("latin-1")
    shape, description = _SHAPE.search(header), _DESCRIPTION.search(header)
    if shape is None or description is None:
        raise Damaged("it has no shape")
    lengths = [int(digits.rstrip("L")) for digits in re.findall(r"\d{1,19}L?", shape[1])]
    simple = _SIMPLE.fullmatch(description[1])
    told = {
        "dtype": description[1].strip("'"),
        "shape": lengths[:64],
        "fortran_order": "'fortran_order': True" in header,
    }
    if simple is None:
        return Identity("npy", DATASET, True, told)  # a structured type: its size is not worth a parser
    if simple[1] == "O":
        listing = beginning(Stream(window, at + length))
        warnings = ("its objects are a pickle: loading them can run code", *dangers(listing.globals))
        return Identity("npy", DATASET, listing.stopped or window.tail(1) == b".", told, warnings)
    item_size = int(simple[2] or 1) * (4 if simple[1] == "U" else 1)
    return Identity("npy", DATASET, at + length + item_size * math.prod(lengths) <= window.size, told)


FORMAT = Format("npy", Strength.MAGIC, matches, describe, extensions=(".npy",))
