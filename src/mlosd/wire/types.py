"""The values that a Varlink interface definition is made of (https://varlink.org/Interface-Definition)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bool:
    """`bool`"""


@dataclass(frozen=True, slots=True)
class Int:
    """`int`: 64 bits with a sign."""


@dataclass(frozen=True, slots=True)
class Float:
    """`float`: finite; a whole number will do."""


@dataclass(frozen=True, slots=True)
class String:
    """`string`"""


@dataclass(frozen=True, slots=True)
class Object:
    """`object`: any JSON object."""


@dataclass(frozen=True, slots=True)
class Any:
    """`any`: any JSON value but null."""


@dataclass(frozen=True, slots=True)
class Enum:
    """`(a, b, c)`: one of these words, as a string."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Struct:
    """`(name: type, ...)`"""

    fields: tuple["Field", ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a struct."""

    name: str
    type: "Type"


@dataclass(frozen=True, slots=True)
class Array:
    """`[]type`"""

    element: "Type"


@dataclass(frozen=True, slots=True)
class Map:
    """`[string]type`"""

    element: "Type"


@dataclass(frozen=True, slots=True)
class Maybe:
    """`?type`: null, absent, or the type."""

    element: "Type"


@dataclass(frozen=True, slots=True)
class Named:
    """The name of a type declared in the same interface."""

    name: str


Type = Bool | Int | Float | String | Object | Any | Enum | Struct | Array | Map | Maybe | Named


@dataclass(frozen=True, slots=True)
class TypeAlias:
    """`type Name ...`"""

    name: str
    type: Struct | Enum
    doc: str


@dataclass(frozen=True, slots=True)
class Method:
    """`method Name(...) -> (...)`"""

    name: str
    input: Struct
    output: Struct
    doc: str


@dataclass(frozen=True, slots=True)
class ErrorDecl:
    """`error Name (...)`"""

    name: str
    parameters: Struct
    doc: str


Member = TypeAlias | Method | ErrorDecl


@dataclass(frozen=True, slots=True)
class Interface:
    """A whole definition; `source` is its text, to the byte."""

    name: str
    doc: str
    types: Mapping[str, TypeAlias]
    methods: Mapping[str, Method]
    errors: Mapping[str, ErrorDecl]
    source: str
