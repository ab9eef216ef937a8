"""What a pickle would make, as values of ours: nothing is imported, called or unpickled.

A pickle is a program for a small stack machine. `listing` runs it on a machine that knows containers, strings and
numbers, and that writes down "made by calling that, with these" where the real one would import and call.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Global:
    """Something imported: a class or a function."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """What a call would have returned. `items` and `state` came afterwards."""

    by: Any
    arguments: tuple[Any, ...]
    state: Any = None
    items: list[tuple[Any, Any]] = field(default_factory=list)

    @property
    def origin(self) -> Global | None:
        """The class or function behind it."""
        by = self.by
        if isinstance(by, Global) and by.module in ("copyreg", "copy_reg") and self.arguments:
            by = self.arguments[0]  # _reconstructor(class, ...), __newobj__(class, ...)
        return by if isinstance(by, Global) else None


@dataclass(slots=True, eq=False)
class Mapped:
    """A dict."""

    items: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Sequence:
    """A list, tuple or set."""

    kind: str
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes, of which only the length is kept."""

    size: int


@dataclass(frozen=True, slots=True)
class Persistent:
    """Something that lies outside the pickle; torch keeps storages so."""

    key: Any


class Unknown:
    """A value that cannot be told."""


UNKNOWN = Unknown()
Value = Any  # None | bool | int | float | str | Blob | Global | Made | Mapped | Sequence | Persistent | Unknown


@dataclass(slots=True)
class Listing:
    """What is known of a pickle. `stopped`: its STOP was reached; `end`: where the file goes on behind it."""

    root: Value = UNKNOWN
    globals: dict[Global, None] = field(default_factory=dict)
    called: dict[Global, None] = field(default_factory=dict)
    persistent: list[Persistent] = field(default_factory=list)
    operations: int = 0
    stopped: bool = False
    protocol: int = 0
    end: int = 0


def items_of(value: Value) -> list[tuple[Any, Any]] | None:
    """The items of a dict, or of what behaves as one (OrderedDict, defaultdict); None for anything else."""
    if isinstance(value, Mapped):
        return value.items
    if isinstance(value, Made) and (origin := value.origin) and origin.name in ("OrderedDict", "defaultdict", "dict"):
        return value.items
    return None
