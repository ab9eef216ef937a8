"""Every knob, one module each, found by walking this package."""

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from functools import cache

from mlosd.core.errors import NotFound
from mlosd.mode.knob import AnyKnob


@dataclass(frozen=True, slots=True)
class Described:
    """A knob with its manual text."""

    knob: AnyKnob
    manual: str


@cache
def described() -> dict[str, Described]:
    """All of them by name, in the order in which they are set."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        if hasattr(loaded, "KNOB"):
            found.append(Described(loaded.KNOB, inspect.getdoc(loaded) or ""))
    found.sort(key=lambda one: (one.knob.stage, one.knob.name))
    return {one.knob.name: one for one in found}


def find(name: str) -> AnyKnob:
    """Raises NotFound that guesses what was meant."""
    known = described()
    if name not in known:
        import difflib  # noqa: PLC0415 - only for the mistaken

        guess = difflib.get_close_matches(name, known, n=1)
        raise NotFound(
            f"there is no knob {name!r}", hint=f"did you mean {guess[0]}?" if guess else "mlosctl mode knobs"
        )
    return known[name].knob
