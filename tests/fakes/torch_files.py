"""Files as torch.save writes them, made without torch: its functions and classes are stand-ins by the same names."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MAGIC = 0x1950A86A20F9469CFC6C
_ITEM_SIZES = {"FloatStorage": 4, "HalfStorage": 2, "LongStorage": 8, "ByteStorage": 1}


class T:
    """A tensor of this shape."""

    def __init__(self, *shape: int, storage: str = "FloatStorage", parameter: bool = False) -> None:
        self.shape = shape
        self.storage = storage
        self.parameter = parameter

    @property
    def numbers(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count


class Storage:
    def __init__(self, type_: str, key: str, count: int) -> None:
        self.type, self.key, self.count = type_, key, count


def saved(value: Any) -> bytes:
    """torch.save(value), as since 1.6."""
    data, storages = _pickled(value)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", data)
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", bytes(storage.count * _ITEM_SIZES[storage.type]))
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def saved_before(value: Any) -> bytes:
    """torch.save(value), as before 1.6."""
    data, storages = _pickled(value)
    parts = [pickle.dumps(_MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2), data]
    parts.append(pickle.dumps([storage.key for storage in storages], 2))
    for storage in storages:
        parts.append(struct.pack("<q", storage.count) + bytes(storage.count * _ITEM_SIZES[storage.type]))
    return b"".join(parts)


def module(name: str = "torch.nn.modules.linear.Linear", **children: Any) -> Any:
    """A pickled torch.nn.Module of that class."""
    return Instance(name, {"training": False, "_parameters": collections.OrderedDict(children), "_modules": {}})


class Instance:
    """An object of a class that need not exist, with these attributes."""

    def __init__(self, class_: str, attributes: dict[str, Any]) -> None:
        self.class_, self.attributes = class_, attributes


def pickled(value: Any, protocol: int = 4) -> bytes:
    """pickle.dumps of what has instances in it."""
    return _pickled(value, protocol)[0]


def _pickled(value: Any, protocol: int = 2) -> tuple[bytes, list[Storage]]:
    file = io.BytesIO()
    with _stand_ins() as made:
        pickler = _Pickler(file, protocol)
        pickler.made = made
        pickler.dump(_real(value, made))
    return file.getvalue(), pickler.storages


class _Pickler(pickle.Pickler):
    made: "_Made"

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.storages: list[Storage] = []

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Storage):
            return ("storage", self.made.class_(f"torch.{obj.type}"), obj.key, "cpu", obj.count)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, T):
            storage = Storage(obj.storage, str(len(self.storages)), obj.numbers)
            self.storages.append(storage)
            strides, hooks = (1,) * len(obj.shape), collections.OrderedDict[Any, Any]()
            arguments: tuple[Any, ...] = (storage, 0, obj.shape, strides, False, hooks)
            rebuild = self.made.function("torch._utils._rebuild_tensor_v2")
            if not obj.parameter:
                return rebuild, arguments
            whole = self.made.function("torch._utils._rebuild_parameter")
            return whole, (_Call(rebuild, arguments), True, collections.OrderedDict())
        if isinstance(obj, _Call):
            return obj.function, obj.arguments
        return NotImplemented


def _real(value: Any, made: "_Made") -> Any:
    """The value with real objects, of stand-in classes, for its instances."""
    match value:
        case Instance():
            real = made.class_(value.class_)()
            vars(real).update(_real(value.attributes, made))
            return real
        case dict():
            return type(value)((key, _real(item, made)) for key, item in value.items())
        case list() | tuple():
            return type(value)(_real(item, made) for item in value)
        case _:
            return value


class _Call:
    def __init__(self, function: Any, arguments: Any) -> None:
        self.function, self.arguments = function, arguments


class _Made:
    """Modules made for as long as something is pickled."""

    def __init__(self) -> None:
        self.before: dict[str, types.ModuleType | None] = {}

    def class_(self, path: str) -> type:
        module_name, _, name = path.rpartition(".")
        made = type(name, (), {"__module__": module_name})
        kept: type = self._keep(module_name, name, made)
        return kept

    def function(self, path: str) -> Any:
        module_name, _, name = path.rpartition(".")

        def made(*_: Any) -> None: ...

        made.__module__, made.__qualname__ = module_name, name
        return self._keep(module_name, name, made)

    def _keep(self, module_name: str, name: str, made: Any) -> Any:
        parts = module_name.split(".")
        for end in range(1, len(parts) + 1):
            parent = ".".join(parts[:end])
            if parent not in self.before:
                self.before[parent] = sys.modules.get(parent)
                sys.modules[parent] = types.ModuleType(parent)
        kept = getattr(sys.modules[module_name], name, None)
        if kept is None:
            setattr(sys.modules[module_name], name, made)
            kept = made
        return kept


@contextmanager
def _stand_ins() -> Iterator[_Made]:
    made = _Made()
    try:
        yield made
    finally:
        for name, before in made.before.items():
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
