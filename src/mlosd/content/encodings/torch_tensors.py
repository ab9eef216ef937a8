"""Tensors in a pickle of torch: their type and shape, of what the storages outside are told (torch/_utils.py)."""

import math
from dataclasses import dataclass

from mlosd.content.encodings.pickled import Global, Made, Persistent, Sequence, Value

_REBUILD = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"}
_AROUND = {"_rebuild_parameter", "_rebuild_parameter_with_state"}
_OTHER = {
    "_rebuild_sparse_tensor",
    "_rebuild_sparse_csr_tensor",
    "_rebuild_nested_tensor",
    "_rebuild_device_tensor_from_numpy",
    "_rebuild_meta_tensor_no_storage",
    "_rebuild_wrapper_subclass",
}
_SUBCLASS = Global("torch._tensor", "_rebuild_from_type_v2")
_DEPTH = 4

_TYPES = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
    "ComplexDoubleStorage": ("complex128", 16),
    "ComplexFloatStorage": ("complex64", 8),
    "QInt8Storage": ("qint8", 1),
    "QUInt8Storage": ("quint8", 1),
    "QInt32Storage": ("qint32", 4),
    "UntypedStorage": ("untyped", 1),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """`is_parameter`: a torch.nn.Parameter, which only models have."""

    dtype: str
    shape: tuple[int, ...]
    is_parameter: bool = False

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a tensor's numbers lie; `key` names the file, or the place in the file."""

    key: str
    dtype: str
    item_size: int
    count: int


def tensor(value: Value, depth: int = _DEPTH) -> Tensor | None:
    """The tensor that a value is; None: it is none."""
    if not isinstance(value, Made) or not isinstance(value.by, Global) or not depth:
        return None
    by, arguments = value.by, value.arguments
    if by.module in ("torch._utils", "torch") and by.name in _REBUILD and len(arguments) >= 3:
        place = storage(arguments[0])
        dtype = place.dtype if place else "unknown"
        typed = next((a.name for a in arguments[4:] if isinstance(a, Global) and a.module == "torch"), None)
        return Tensor(typed or dtype, _shape(arguments[2]))
    if by.module == "torch._utils" and by.name in _AROUND and arguments:
        inner = tensor(arguments[0], depth - 1)
        return Tensor(inner.dtype, inner.shape, is_parameter=True) if inner else None
    if by.module == "torch._utils" and by.name in _OTHER:
        return Tensor("unknown", ())
    if by == _SUBCLASS and len(arguments) >= 3 and isinstance(arguments[2], Sequence):
        inner = tensor(Made(arguments[0], tuple(arguments[2].items)), depth - 1)
        return inner or Tensor("unknown", ())
    return None


def storage(value: Value) -> Storage | None:
    """The storage that a persistent id stands for: ("storage", its type, key, device, how many)."""
    if not isinstance(value, Persistent) or not isinstance(value.key, Sequence):
        return None
    match value.key.items:
        case ["storage", Global() as type_, str() as key, _, int() as count, *_] if count >= 0:
            dtype, item_size = _TYPES.get(type_.name, ("unknown", 0))
            return Storage(key, dtype, item_size, count)
        case _:
            return None


def _shape(value: Value) -> tuple[int, ...]:
    lengths = value.items if isinstance(value, Sequence) else []
    return tuple(length for length in lengths if isinstance(length, int) and 0 <= length < 2**63)
