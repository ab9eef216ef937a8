"""Colours for terminals, and text made safe for them."""

import os
from typing import TextIO

BOLD, DIM, RED, GREEN, YELLOW, BLUE = "1", "2", "31", "32", "33", "34"


def wanted(stream: TextIO) -> bool:
    """Whether `stream` gets colours: a terminal that knows them, and NO_COLOR (no-color.org) is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str | None) -> str:
    """`text` between the escape sequences for `colour` (SGR, console_codes(4))."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def visible(text: str) -> str:
    """`text` with control characters spelled out: names and commands of others must not drive this terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
