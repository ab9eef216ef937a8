"""ONNX: a ModelProto, read by hand (onnx.proto): opset, producer, inputs, outputs, operators, parameters.

Files that its tensors lie in (external data) are named in the facts. Cut off: the last field and
the file do not end together.
"""

import math
from collections import Counter
from typing import Any

from mlosd.content import facts
from mlosd.content.encodings.protobuf import BYTES, VARINT, Field, Message
from mlosd.content.format import Format, Strength
from mlosd.content.identity import MODEL, Identity
from mlosd.content.window import Damaged, Window

_NAMES = {1: "ir_version", 2: "producer", 3: "producer_version", 4: "domain", 5: "model_version"}
_MODEL_FIELDS = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES, 20: BYTES,
                 25: BYTES, 26: BYTES}  # fmt: skip
_NEWEST_IR = 40
_MOST_FIELDS = 100_000
_MOST_NAMED = 50
_TYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
          11: "float64", 16: "bfloat16", 17: "float8e4m3fn", 19: "float8e5m2", 21: "uint4", 22: "int4"}  # fmt: skip


def matches(head: bytes, _: bytes) -> bool:
    # The first field is written first by every library: ir_version, a small number.
    return head[:1] == b"\x08" and len(head) > 3 and 0 < head[1] <= _NEWEST_IR


def describe(window: Window) -> Identity | None:
    # A cut file's last field ends behind the file: the message is taken to be longer.
    model = Message(window, 0, 2**63)
    told: dict[str, Any] = {}
    graph: Field | None = None
    opsets: dict[str, int] = {}
    metadata: dict[str, str] = {}
    end = 0
    try:
        for field in model.fields(1000):
            if _MODEL_FIELDS.get(field.number) != field.wire:
                return None
            end = field.end
            match field.number:
                case 1 | 5:
                    told[_NAMES[field.number]] = field.value
                case 2 | 3 | 4:
                    told[_NAMES[field.number]] = model.text(field)
                case 7:  # graph
                    graph = graph or field
                case 8:  # opset_import
                    opsets.update(_opset(model.inner(field)))
                case 14 if len(metadata) < _MOST_NAMED:
                    metadata.update(_entry(model.inner(field)))
    except Damaged:
        if graph is None:
            return None
        end = window.size + 1
    if graph is None or not (opsets or end > window.size):
        return None
    told |= {"opset": opsets, "metadata": metadata}
    warnings: tuple[str, ...] = ()
    try:
        about, external = _graph(Message(window, graph.at, graph.end))
        told |= about
        told["external_data"] = facts.first(sorted(external))
        warnings = tuple(f"its tensors lie in {name}" for name in sorted(external) if _leads_away(name))[:5]
    except Damaged as e:
        if end <= window.size:
            warnings = (f"its graph is damaged: {e.message}",)
    told = {name: value for name, value in told.items() if value not in ("", {}, [], None)}
    return Identity("onnx", MODEL, end == window.size, told, warnings)


def _graph(graph: Message) -> tuple[dict[str, Any], set[str]]:
    operators: Counter[str] = Counter()
    inputs: list[str] = []
    outputs: list[str] = []
    names: list[str] = []
    types: set[str] = set()
    external: set[str] = set()
    initializers = parameters = 0
    title = ""
    for field in graph.fields(_MOST_FIELDS):
        if field.wire != BYTES:
            continue
        match field.number:
            case 1:  # node; 4: its op_type
                operators[_string(graph.inner(field), 4)] += 1
            case 2:  # name
                title = graph.text(field)
            case 5:  # initializer
                name, type_, numbers, places = _tensor(graph.inner(field))
                initializers, parameters = initializers + 1, parameters + numbers
                names.append(name)
                types.add(type_)
                external |= places
            case 11 if len(inputs) < _MOST_NAMED:
                inputs.append(_string(graph.inner(field), 1))
            case 12 if len(outputs) < _MOST_NAMED:
                outputs.append(_string(graph.inner(field), 1))
    given = set(names)
    about = {
        "graph": title,
        "inputs": [name for name in inputs if name not in given],
        "outputs": outputs,
        "operators": dict(operators.most_common(_MOST_NAMED)),
        "tensors": initializers,
        "parameters": parameters,
        "dtypes": sorted(types),
        "names": facts.first(names),
    }
    return about, external


def _tensor(tensor: Message) -> tuple[str, str, int, set[str]]:
    """Name, type, how many numbers, and the files that it lies in."""
    name, type_, lengths, places = "", "unknown", [], set()
    for field in tensor.fields(2000):
        match field.number, field.wire:
            case 1, 0:  # dims, one by one
                lengths.append(field.value)
            case 1, 2 if field.value < 640:  # dims, packed
                lengths += _packed(tensor, field)
            case 2, 0:  # data_type
                type_ = _TYPES.get(field.value, "unknown")
            case 8, 2:  # name
                name = tensor.text(field, 200)
            case 13, 2:  # external_data
                entry = _entry(tensor.inner(field))
                places |= {entry["location"]} if "location" in entry else set()
    return name, type_, math.prod(lengths[:64]), places


def _packed(message: Message, field: Field) -> list[int]:
    values, value, shift = [], 0, 0
    for byte in message.window.near(field.at, field.value):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            values.append(value)
            value = shift = 0
    return values


def _opset(message: Message) -> dict[str, int]:
    domain, version = "", 0
    for field in message.fields(10):
        if field.number == 1 and field.wire == BYTES:
            domain = message.text(field, 100)
        elif field.number == 2 and field.wire == VARINT:
            version = field.value
    return {domain or "ai.onnx": version}


def _entry(message: Message) -> dict[str, str]:
    """A StringStringEntryProto."""
    return {_string(message, 1): _string(message, 2)}


def _string(message: Message, number: int) -> str:
    return next((message.text(f, 200) for f in message.fields(50) if f.number == number and f.wire == BYTES), "")


def _leads_away(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


FORMAT = Format("onnx", Strength.SHAPE, matches, describe, extensions=(".onnx",))
