"""A format of files: how its content is told from others, and what its header says. One file in `formats/` each."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib import import_module

from mlosd.content import formats
from mlosd.content.identity import Identity
from mlosd.content.window import Window


class Strength(IntEnum):
    """How sure a match is: the surest is asked first, and the first that does not say no is right."""

    MAGIC = 0  # bytes that nothing else begins with
    INSIDE = 1  # a container with something known in it: a zip that is a model
    CONTAINER = 2  # a container
    SHAPE = 3  # no magic, but the whole structure fits
    SAID = 4  # text of a kind that only it has: {"nbformat": ...}
    TEXT = 5  # text that could be several things: the name may hint
    ANY_TEXT = 6


@dataclass(frozen=True, slots=True)
class Format:
    """`matches(head, name)` is quick and looks at no more; `describe` returns None where it is not that after all.

    `extensions`: names that promise this format and no other, so that a file with such a name and other content is
    worth a warning.
    """

    name: str
    strength: Strength
    matches: Callable[[bytes, bytes], bool]
    describe: Callable[[Window], Identity | None]
    extensions: tuple[str, ...] = ()


@cache
def known() -> tuple[Format, ...]:
    """Every format, the surest first."""
    names = sorted(module.name for module in pkgutil.iter_modules(formats.__path__))
    found: list[Format] = [import_module(f"{formats.__name__}.{name}").FORMAT for name in names]
    return tuple(sorted(found, key=lambda format_: format_.strength))
