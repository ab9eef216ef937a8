"""Checks JSON values against the types of an interface. Each type becomes a function once, so that a check is quick."""

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import NoReturn

from mlosd.wire import types

Check = Callable[[object], None]
"""Returns when the value fits, else raises WrongValue."""

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_JUST_STRINGS = {str}


class WrongValue(Exception):
    """A value that does not fit its type; `path` leads to it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self._steps: list[str] = []

    def within(self, step: str) -> "WrongValue":
        """The same, seen from one level further out."""
        self._steps.append(step)
        return self

    @property
    def path(self) -> str:
        """For instance "job.argv[2]"; empty when it is the whole value."""
        return "".join(reversed(self._steps)).removeprefix(".")

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class Checks:
    """The checks of one interface, compiled."""

    def __init__(self, interface: types.Interface) -> None:
        self._named: dict[str, Check] = {}
        self._named |= {alias.name: self.of(alias.type) for alias in interface.types.values()}
        self.inputs: Mapping[str, Check] = {m.name: self.of(m.input) for m in interface.methods.values()}
        self.outputs: Mapping[str, Check] = {m.name: self.of(m.output) for m in interface.methods.values()}
        self.errors: Mapping[str, Check] = {e.name: self.of(e.parameters) for e in interface.errors.values()}

    def of(self, wanted: types.Type) -> Check:
        """The check of any type that the interface could name."""
        match wanted:
            case types.Bool():
                return _bool
            case types.Int():
                return _int
            case types.Float():
                return _float
            case types.String():
                return _string
            case types.Object():
                return _object
            case types.Any():
                return _any
            case types.Enum(values):
                return _enum(values)
            case types.Array(element):
                return _strings if element == types.String() else _array(self.of(element))
            case types.Map(element):
                return _string_map if element == types.String() else _map(self.of(element))
            case types.Maybe(element):
                return _maybe(self.of(element))
            case types.Struct(fields):
                return _struct(
                    {field.name: self.of(field.type) for field in fields},
                    required=[field.name for field in fields if not isinstance(field.type, types.Maybe)],
                )
            case types.Named(name):
                return self._by_name(name)

    def _by_name(self, name: str) -> Check:
        known = self._named.get(name)
        if known is not None:
            return known
        named = self._named

        def check_later(value: object) -> None:
            named[name](value)

        return check_later


def _fail(wanted: str, value: object) -> NoReturn:
    raise WrongValue(f"expected {wanted}, got {_kind(value)}")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case dict():
            return "object"
    return type(value).__name__


def _bool(value: object) -> None:
    if not isinstance(value, bool):
        _fail("bool", value)


def _int(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        _fail("int", value)
    if not _INT_MIN <= value <= _INT_MAX:
        raise WrongValue("an int has 64 bits")


def _float(value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        _fail("float", value)
    if isinstance(value, float) and not isfinite(value):
        raise WrongValue("a float must be finite")


def _string(value: object) -> None:
    if not isinstance(value, str):
        _fail("string", value)


def _object(value: object) -> None:
    if not isinstance(value, dict):
        _fail("object", value)


def _any(value: object) -> None:
    if value is None:
        _fail("any value", value)


def _enum(values: Iterable[str]) -> Check:
    known = frozenset(values)
    listed = ", ".join(values)

    def check(value: object) -> None:
        if not isinstance(value, str):
            _fail("string", value)
        if value not in known:
            raise WrongValue(f"expected one of {listed}")

    return check


def _maybe(check_element: Check) -> Check:
    def check(value: object) -> None:
        if value is not None:
            check_element(value)

    return check


def _array(check_element: Check) -> Check:
    def check(value: object) -> None:
        if not isinstance(value, list | tuple):
            _fail("array", value)
        position = 0
        try:
            for item in value:
                check_element(item)
                position += 1
        except WrongValue as error:
            raise error.within(f"[{position}]") from None

    return check


def _map(check_element: Check) -> Check:
    def check(value: object) -> None:
        if not isinstance(value, dict):
            _fail("object", value)
        key: object = None
        try:
            for key, item in value.items():
                _string(key)
                check_element(item)
        except WrongValue as error:
            raise error.within(f"[{key!r}]") from None

    return check


_strings_one_by_one = _array(_string)
_string_map_one_by_one = _map(_string)


def _strings(value: object) -> None:
    # The argv and the environment of a job are most of a request: look at their types in one go.
    if not isinstance(value, list) or not set(map(type, value)) <= _JUST_STRINGS:
        _strings_one_by_one(value)


def _string_map(value: object) -> None:
    if (
        not isinstance(value, dict)
        or not set(map(type, value.values())) <= _JUST_STRINGS
        or not set(map(type, value)) <= _JUST_STRINGS
    ):
        _string_map_one_by_one(value)


def _struct(fields: Mapping[str, Check], required: Iterable[str]) -> Check:
    known = dict(fields)
    needed = frozenset(required)

    def check(value: object) -> None:
        if not isinstance(value, dict):
            _fail("object", value)
        name = ""
        try:
            for name, item in value.items():
                check_field = known.get(name)
                if check_field is None:
                    raise WrongValue("unknown field")
                check_field(item)
        except WrongValue as error:
            raise error.within(f".{name}") from None
        if not needed <= value.keys():
            raise WrongValue("missing").within(f".{min(needed - value.keys())}")

    return check
