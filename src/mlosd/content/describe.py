"""Which format a file is in, and what its header says. Whatever is in the file, this returns an Identity.

Raises OSError alone, when the file cannot be read.
"""

from dataclasses import replace
from functools import cache

from mlosd.content import facts
from mlosd.content.format import Format, known
from mlosd.content.identity import EMPTY, UNKNOWN, Identity
from mlosd.content.window import Damaged, TooMuch, Window


def describe(window: Window) -> Identity:
    """Try the formats, the surest first."""
    identity = _describe(window)
    warnings = identity.warnings
    promised = _promises().get(window.extension)
    if promised and identity.format not in promised:
        found = "unknown content" if identity.format == UNKNOWN else f"{identity.format}"
        warnings = (f"named {window.extension}, but it is {found}", *warnings)
    header = facts.bounded(identity.header) if identity.header else {}
    return replace(identity, header=header, warnings=tuple(facts.text(words, most=300) for words in warnings[:20]))


def _describe(window: Window) -> Identity:
    if not window.size:
        # Nothing is what a name of a model or a dataset promised: whoever wrote it was killed.
        return Identity(EMPTY, complete=window.extension not in _promises())
    for format_ in known():
        if format_.matches(window.head, window.name):
            identity = _attempt(format_, window)
            if identity is not None:
                return identity
    return Identity(UNKNOWN)


def _attempt(format_: Format, window: Window) -> Identity | None:
    try:
        return format_.describe(window)
    except Damaged as e:
        return Identity(format_.name, complete=False, warnings=(f"its header is damaged: {e.message}",))
    except TooMuch as e:
        return Identity(format_.name, warnings=(e.message,))
    except OSError:
        raise
    except (MemoryError, RecursionError):
        return Identity(format_.name, warnings=("its header is made to exhaust whoever reads it",))
    except Exception as e:  # a parser met what its author did not think of; that must not become the daemon's problem
        return Identity(format_.name, complete=False, warnings=(f"its header is damaged: {type(e).__name__}",))


@cache
def _promises() -> dict[str, frozenset[str]]:
    """By extension: the formats that it promises."""
    promised: dict[str, set[str]] = {}
    for format_ in known():
        for extension in format_.extensions:
            promised.setdefault(extension, set()).add(format_.name)
    return {extension: frozenset(names) for extension, names in promised.items()}
