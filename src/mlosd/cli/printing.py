"""What verbs print: tables and cards for people, JSON for programs."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlosd.cli import paint, table

INDENT = "  "


def json_line(value: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of its own, now: whoever reads it may be following."""
    import json

    print(json.dumps(value), flush=True)


def rows(columns: Sequence[table.Column], body: Iterable[Sequence[str]]) -> None:
    """Print a table, cut to the terminal when stdout is one."""
    width = terminal_width() if sys.stdout.isatty() else None
    print("\n".join(table.lines(columns, body, width=width, colours=paint.wanted(sys.stdout))))


def terminal_width() -> int:
    """Columns of the terminal; COLUMNS says otherwise, as everywhere."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told):
        return int(told)
    for stream in (1, 2):  # stdout may be a file while stderr tells of progress
        with contextlib.suppress(OSError):
            return os.get_terminal_size(stream).columns or 80
    return 80


def heading(text: str, *, colour: str | None = paint.BOLD) -> None:
    """Print the title of a card or of a part of it."""
    print(paint.painted(paint.visible(text), colour if paint.wanted(sys.stdout) else None))


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    known = list(pairs)
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        print(f"{INDENT}{name:<{width}}  {paint.visible(value)}")


def moment(at: float | None) -> str:
    """A time of day, with the date unless it is today, and how long ago."""
    if at is None:
        return "-"
    then, now = time.localtime(at), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S", then)


def points(texts: Iterable[str]) -> None:
    """Print a list, a line each."""
    for text in texts:
        print(f"{INDENT}- {paint.visible(text)}")
