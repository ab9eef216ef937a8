"""GGUF: a header of key-values and tensor descriptions, little or big endian, then the tensors (llama.cpp).

Cut off: a tensor ends behind the end of the file.
"""

import math
import struct
from dataclasses import dataclass, field
from typing import Any, Literal

from mlosd.content import facts
from mlosd.content.format import Format, Strength
from mlosd.content.identity import MODEL, Identity
from mlosd.content.pickle_identity import tensor_facts
from mlosd.content.window import Damaged, TooMuch, Window

_MAGIC = b"GGUF"
_VERSIONS = (1, 2, 3)
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_MOST_STRINGS = 2_000_000
_MOST_ENTRIES = 100_000
_KEPT_ITEMS = 8
_PIECE = 256 << 10
_NO_MODEL = ("imatrix", "mmproj-calibration")

# ggml type: its name, numbers in a block, bytes of a block (ggml-common.h).
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip


@dataclass(slots=True)
class _Header:
    """A position in the header. Version 1 has lengths of 32 bits."""

    window: Window
    order: str
    version: int
    at: int = 8
    strings: int = 0
    values: dict[str, Any] = field(default_factory=dict)

    def number(self, code: str) -> Any:
        size = struct.calcsize(code)
        (value,) = struct.unpack(self.order + code, self.window.exactly(self.at, size))
        self.at += size
        return value

    def length(self) -> int:
        return int(self.number("I" if self.version == 1 else "Q"))

    def string(self) -> bytes:
        length = self.length()
        kept = self.window.exactly(self.at, min(length, 1000))
        self._forward(length)
        self.strings += 1
        if self.strings > _MOST_STRINGS:
            raise TooMuch("its header is too long")
        return kept

    def value(self, type_: int, depth: int = 3) -> Any:
        if type_ == _STRING:
            return facts.text(self.string(), most=400)
        if type_ == _ARRAY and depth:
            return self._array(depth - 1)
        if type_ not in _NUMBERS:
            raise Damaged("a value in it has no type")
        return self.number(_NUMBERS[type_])

    def _array(self, depth: int) -> dict[str, Any]:
        item_type, count = int(self.number("I")), self.length()
        if item_type in _NUMBERS:
            size = struct.calcsize(_NUMBERS[item_type])
            first = [self.number(_NUMBERS[item_type]) for _ in range(min(count, _KEPT_ITEMS))]
            self._forward((count - len(first)) * size)
            return {"items": count, "first": first}
        first = [self.value(item_type, depth) for _ in range(min(count, _KEPT_ITEMS))]
        if item_type == _STRING:
            self._skip_strings(count - len(first))
        else:
            for _ in range(count - len(first)):
                self.value(item_type, depth)
        return {"items": count, "first": first}

    def _skip_strings(self, count: int) -> None:
        """A vocabulary has a quarter of a million of them."""
        self.strings += count
        if self.strings > _MOST_STRINGS:
            raise TooMuch("its header is too long")
        size = 4 if self.version == 1 else 8
        order: Literal["little", "big"] = "little" if self.order == "<" else "big"
        data, place = b"", 0
        for _ in range(count):
            if place + size > len(data):
                self._forward(place)
                data, place = self.window.at(self.at, _PIECE), 0
            place += size + int.from_bytes(data[place : place + size], order)
        self._forward(place)

    def _forward(self, length: int) -> None:
        if length > self.window.size - self.at:
            raise Damaged("it ends too early")
        self.at += length


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(_MAGIC) and len(head) >= 8


def describe(window: Window) -> Identity | None:
    (little,), (big,) = struct.unpack_from("<I", window.head, 4), struct.unpack_from(">I", window.head, 4)
    if little not in _VERSIONS and big not in _VERSIONS:
        return None
    header = _Header(window, "<" if little in _VERSIONS else ">", min(little, big))
    tensor_count, value_count = header.length(), header.length()
    if max(tensor_count, value_count) > _MOST_ENTRIES:
        raise Damaged("it has more entries than any model")
    values: dict[str, Any] = {}
    for _ in range(value_count):
        name = facts.text(header.string(), most=200)
        values[name] = header.value(int(header.number("I")))
    tensors, end, unknown = _tensors(header, tensor_count, values.get("general.alignment", 32))
    told = {
        "version": header.version,
        **{name: values.pop(f"general.{name}", None) for name in ("architecture", "name", "type", "license")},
        **tensor_facts(tensors),
        "metadata": values,
    }
    role = None if told["type"] in _NO_MODEL else MODEL
    warnings = (f"{unknown} of its tensors are of a type that is not known",) if unknown else ()
    return Identity("gguf", role, end <= window.size, {k: v for k, v in told.items() if v is not None}, warnings)


def _tensors(header: _Header, count: int, alignment: Any) -> tuple[dict[str, tuple[str, int]], int, int]:
    """The tensors, where the last one ends, and how many are of unknown type."""
    tensors: dict[str, tuple[str, int]] = {}
    last = unknown = 0
    for _ in range(count):
        name = facts.text(header.string(), most=200)
        dimensions = int(header.number("I"))
        if dimensions > 8:
            raise Damaged("a tensor in it has too many dimensions")
        numbers = math.prod(header.length() for _ in range(dimensions))
        type_, offset = int(header.number("I")), int(header.number("Q"))
        title, block, block_size = _TYPES.get(type_, ("unknown", 1, 0))
        unknown += type_ not in _TYPES
        last = max(last, offset + -(-numbers // block) * block_size)
        tensors[name] = (title, numbers)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        alignment = 32
    start = -(-header.at // alignment) * alignment
    return tensors, (start + last if count else header.at), unknown


FORMAT = Format("gguf", Strength.MAGIC, matches, describe, extensions=(".gguf",))
