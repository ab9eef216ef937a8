"""HDF5: a superblock, then a tree of groups. The attributes that Keras writes make it a model, anything else is data.

Cut off: the superblock knows where the file ends.
"""

import struct

from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, MODEL, Identity
from mlosd.content.window import Window

_MAGIC = b"\x89HDF\r\n\x1a\n"
_LOOKED_AT = 1 << 20
_OF_KERAS = (b"model_weights", b"keras_version", b"layer_names", b"weight_names", b"_layer_checkpoint_dependencies")
_OF_PANDAS = b"pandas_type"
# By version of the superblock: where the address of the end lies.
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}
_ADDRESS_SIZE_AT = {0: 13, 1: 13, 2: 9, 3: 9}


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(_MAGIC)


def describe(window: Window) -> Identity:
    text = window.at(0, _LOOKED_AT) + window.tail(min(_LOOKED_AT, max(0, window.size - _LOOKED_AT)))
    marks = [mark.decode() for mark in _OF_KERAS if mark in text]
    told = {
        "superblock": window.head[8] if len(window.head) > 8 else None,
        "keras": marks,
        "pandas": _OF_PANDAS in text,
    }
    return Identity("hdf5", MODEL if marks else DATASET, _is_complete(window), told)


def _is_complete(window: Window) -> bool:
    version = window.exactly(8, 1)[0]
    if version not in _END_AT or window.exactly(_ADDRESS_SIZE_AT[version], 1)[0] != 8:
        return True
    (end,) = struct.unpack("<Q", window.exactly(_END_AT[version], 8))
    return int(end) <= window.size


FORMAT = Format("hdf5", Strength.MAGIC, matches, describe, extensions=(".h5", ".hdf5"))
