"""What kind of thing a pickle holds: a model, the state of an optimizer, data. Its structure and its classes tell."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mlosd.content import known_classes, tensor_names
from mlosd.content.encodings.pickled import Global, Made, Mapped, Sequence, Value, items_of
from mlosd.content.encodings.torch_tensors import tensor
from mlosd.content.identity import DATASET, MODEL


class Kind(StrEnum):
    """What a value is."""

    MODULE = "module"
    ESTIMATOR = "estimator"
    STATE_DICT = "state dict"
    CHECKPOINT = "checkpoint"
    OPTIMIZER = "optimizer state"
    TENSOR = "tensor"
    ARRAY = "array"
    TABLE = "table"
    RECORDS = "records"
    VALUES = "values"
    OBJECT = "object"


_MODELS = (Kind.MODULE, Kind.ESTIMATOR, Kind.STATE_DICT, Kind.CHECKPOINT)
_DATA = (Kind.TENSOR, Kind.ARRAY, Kind.TABLE, Kind.RECORDS)
ROLES: dict[Kind, str] = {**dict.fromkeys(_MODELS, MODEL), **dict.fromkeys(_DATA, DATASET)}

_MOST_LOOKED_AT = 300
_DEPTH = 5

_BUNCH = "Bunch"
_ARRAYS = re.compile(r"numpy(\._?core\.(multiarray|numeric))?|numpy|joblib\.numpy_pickle|jax\._src\.array|cupy.*")
_ARRAY_MAKERS = {
    "_reconstruct",
    "_frombuffer",
    "ndarray",
    "NumpyArrayWrapper",
    "NDArrayWrapper",
    "array",
    "_reconstruct_array",
}
_SCALARS = {"scalar", "dtype"}
_OF_OPTIMIZERS = (
    {"param_groups", "state"},
    {"optimizer_state_dict"},
    {"base_optimizer_state"},
    {"exp_avg", "exp_avg_sq"},
)
_OF_RANDOM_STATES = {"python", "numpy", "cpu", "cuda", "torch", "xla", "npu", "mps", "xpu"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The kind of the whole, and the dict of parameters in it, if there is one."""

    kind: Kind
    parameters: list[tuple[Value, Value]] | None = None

    @property
    def role(self) -> str | None:
        return ROLES.get(self.kind)


def judge(root: Value) -> Judgement:
    """What the root of a listing is."""
    look = _Look()
    return Judgement(look.kind(root, _DEPTH), look.parameters)


class _Look:
    """One walk: each container is looked at once, however often it is referred to."""

    def __init__(self) -> None:
        self.parameters: list[tuple[Value, Value]] | None = None
        self._seen: dict[int, Kind] = {}

    def kind(self, value: Value, depth: int) -> Kind:
        if not isinstance(value, Made | Mapped | Sequence) or not depth:
            return Kind.VALUES
        if id(value) not in self._seen:
            self._seen[id(value)] = Kind.VALUES  # while we are inside: it may contain itself
            self._seen[id(value)] = self._kind(value, depth)
        return self._seen[id(value)]

    def _kind(self, value: Made | Mapped | Sequence, depth: int) -> Kind:
        if isinstance(value, Sequence):
            return self._of_list(value.items[:_MOST_LOOKED_AT], depth)
        items = items_of(value)
        if items is not None:
            return self._of_dict(value, items, depth)
        return self._of_object(value, depth) if isinstance(value, Made) else Kind.VALUES

    def _of_object(self, value: Made, depth: int) -> Kind:
        if tensor(value) is not None:
            return Kind.TENSOR
        origin = value.origin
        if origin is None:
            return Kind.OBJECT
        if _ARRAYS.fullmatch(origin.module) and origin.name not in _SCALARS:
            return Kind.ARRAY if origin.name in _ARRAY_MAKERS else Kind.VALUES
        attributes = {key for key, _ in items_of(value.state) or () if isinstance(key, str)}
        if {"_parameters", "_modules"} <= attributes:
            return Kind.MODULE
        if known_classes.DATA.match(origin.module) or origin.name == _BUNCH:
            return Kind.TABLE
        if known_classes.BESIDE_MODELS.match(origin.module):
            return self._wrapped(value, depth)
        if known_classes.MODELS.match(origin.module):
            return Kind.ESTIMATOR
        return self._wrapped(value, depth)

    def _wrapped(self, value: Made, depth: int) -> Kind:
        """A class of the user's own around a model is a model; around anything else it is just an object."""
        inside = [self.kind(item, depth - 1) for _, item in _items(value.state)]
        return Kind.CHECKPOINT if any(kind in _MODELS for kind in inside) else Kind.OBJECT

    def _of_dict(self, value: Value, items: list[tuple[Value, Value]], depth: int) -> Kind:
        names = {key for key, _ in items[:_MOST_LOOKED_AT] if isinstance(key, str)}
        some = items[:_MOST_LOOKED_AT]
        kinds = [self.kind(item, depth - 1) for _, item in some]
        if names and names <= _OF_RANDOM_STATES:
            return Kind.VALUES
        if kinds and self._is_of_parameters(value, some, kinds):
            self.parameters = self.parameters or items
            return Kind.STATE_DICT
        of_optimizer = any(marks <= names for marks in _OF_OPTIMIZERS)
        # An optimizer's state names parameters, and has a dict for each: look for a model beside it, not inside.
        if any(kind in _MODELS for kind in kinds) and not {"param_groups", "state"} <= names:
            return Kind.CHECKPOINT
        if of_optimizer or Kind.OPTIMIZER in kinds or self._names_say_optimizer(some, kinds):
            return Kind.OPTIMIZER
        return _of_several(kinds)

    def _is_of_parameters(self, value: Value, items: list[tuple[Value, Value]], kinds: list[Kind]) -> bool:
        tensors = [key for (key, _), kind in zip(items, kinds, strict=True) if kind in (Kind.TENSOR, Kind.ARRAY)]
        if not tensors or len(tensors) * 2 < len(kinds):
            return False
        if isinstance(value, Made) and "_metadata" in {key for key, _ in _items(value.state)}:
            return True  # state_dict() of torch.nn.Module leaves this on its OrderedDict
        meaning = tensor_names.meaning([key for key in tensors if isinstance(key, str)])
        if meaning == tensor_names.OPTIMIZER:
            return False
        made = (tensor(item) for _, item in items)
        return meaning == tensor_names.PARAMETERS or any(found is not None and found.is_parameter for found in made)

    @staticmethod
    def _names_say_optimizer(items: list[tuple[Value, Value]], kinds: list[Kind]) -> bool:
        names = [
            key for (key, _), kind in zip(items, kinds, strict=True) if kind == Kind.TENSOR and isinstance(key, str)
        ]
        return bool(names) and tensor_names.meaning(names) == tensor_names.OPTIMIZER

    def _of_list(self, values: list[Value], depth: int) -> Kind:
        kinds = [self.kind(item, depth - 1) for item in values]
        if any(kind in _MODELS for kind in kinds):
            return Kind.CHECKPOINT
        if Kind.OPTIMIZER in kinds:
            return Kind.OPTIMIZER
        if kinds and all(isinstance(item, Mapped | Sequence) for item in values):
            return Kind.RECORDS  # rows
        return _of_several(kinds)


def dangers(names: dict[Global, None]) -> tuple[str, ...]:
    """A warning for each function that no model needs, and that whoever loads the pickle would call."""
    found = [str(name) for name in names if known_classes.DANGEROUS.fullmatch(str(name))]
    return tuple(f"loading it would call {name}" for name in found[:10])


def _of_several(kinds: list[Kind]) -> Kind:
    """What the values of a dict or a list are together, where none of them is a model."""
    if any(kind in _DATA for kind in kinds):
        return next(kind for kind in kinds if kind in _DATA)
    return Kind.OBJECT if Kind.OBJECT in kinds else Kind.VALUES


def _items(value: Value) -> Iterator[tuple[Value, Value]]:
    """The attributes that a state gives: a dict, or a pair of dicts (object.__reduce_ex__)."""
    for part in value.items if isinstance(value, Sequence) else [value]:
        yield from (items_of(part) or [])[:_MOST_LOOKED_AT]
