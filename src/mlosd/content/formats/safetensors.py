"""safetensors: 8 bytes length, a JSON header with the type, shape and place of each tensor, then their bytes.

The names of the tensors tell parameters from cached data and from the state of an optimizer. Cut off: a tensor ends
behind the end of the file. Tensors that overlap, names that stand twice, a length beyond reason are warnings.
"""

import json
import math
import struct
from itertools import pairwise
from typing import Any

from mlosd.content import facts, tensor_names
from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, MODEL, Identity
from mlosd.content.pickle_identity import tensor_facts
from mlosd.content.window import Damaged, TooMuch, Window

_LENGTH = struct.Struct("<Q")
_LONGEST = 100_000_000  # of the reference implementation
_MOST = 8 << 20
_METADATA = "__metadata__"
_ROLES = {tensor_names.PARAMETERS: MODEL, tensor_names.DATA: DATASET}


def matches(head: bytes, _: bytes) -> bool:
    return len(head) > 9 and head[8:9] == b"{" and 2 <= _LENGTH.unpack_from(head)[0] <= _LONGEST


def describe(window: Window) -> Identity | None:
    (length,) = _LENGTH.unpack_from(window.head)
    if b'"' not in window.head[9:32] and length > 2:
        return None
    if length > _MOST:
        raise TooMuch("its header is too long to be read")
    text = window.at(_LENGTH.size, length)
    if len(text) < length:
        return Identity("safetensors", complete=False)
    twice: list[str] = []
    header = _json(text, twice)
    metadata = header.pop(_METADATA, {})
    tensors = {name: found for name, entry in header.items() if (found := _tensor(entry))}
    warnings = (
        [f"{len(header) - len(tensors)} entries of its header are no tensors"] if len(tensors) < len(header) else []
    )
    warnings += [f"its header has {facts.text(name, most=100)} twice" for name in twice[:3]]
    start, places = _LENGTH.size + length, sorted((begin, end) for _, _, begin, end in tensors.values())
    end = start + max((end for _, end in places), default=0)
    if any(before[1] > after[0] for before, after in pairwise(places)):
        warnings.append("tensors in it overlap")
    if end < window.size:
        warnings.append(f"{window.size - end} bytes behind the last tensor belong to none")
    meaning = tensor_names.meaning(list(tensors))
    told = {"kind": meaning, **tensor_facts({name: (t[0], t[1]) for name, t in tensors.items()}), "metadata": metadata}
    return Identity("safetensors", _ROLES.get(meaning), end <= window.size, told, tuple(warnings))


def _json(text: bytes, twice: list[str]) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            names = [name for name, _ in pairs]
            twice.append(next(name for name in result if names.count(name) > 1) if len(names) < 1000 else "a name")
        return result

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except ValueError as e:
        raise Damaged("it is not JSON") from e
    if not isinstance(header, dict):
        raise Damaged("it is no object")
    return header


def _tensor(entry: Any) -> tuple[str, int, int, int] | None:
    """Type, how many numbers, where it begins and ends."""
    match entry:
        case {"dtype": str() as dtype, "shape": list() as shape, "data_offsets": [int() as begin, int() as end]}:
            plain = len(shape) <= 64 and all(isinstance(length, int) and 0 <= length < 2**63 for length in shape)
            return (facts.text(dtype, most=20), math.prod(shape), begin, end) if plain and 0 <= begin <= end else None
        case _:
            return None


FORMAT = Format("safetensors", Strength.SHAPE, matches, describe, extensions=(".safetensors",))
