"""CSV and its kin: the same number of fields on each line, between commas, tabs, semicolons or bars.

The name decides between a table of one column and prose, and nothing else. Whether the end is missing, it cannot tell.
"""

import csv
from typing import Any

from mlosd.content import facts
from mlosd.content.encodings.plain_text import TABLE, PlainText, plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window

_DELIMITERS = ("\t", ",", ";", "|")
_LOOKED_AT = 60
_FEWEST_UNNAMED = 3
_ALMOST_ALL = 0.9


def matches(_: bytes, __: bytes) -> bool:
    return True


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    if text is None or text.hint not in (TABLE, None):
        return None
    lines = [line for line in text.lines(_LOOKED_AT) if line and not line.startswith("#")]
    best = max((_rows(lines, delimiter) for delimiter in _DELIMITERS), key=lambda found: found[0])
    fields, delimiter, rows = best
    if text.hint == TABLE and fields < 2 and lines:
        return _identity(text, ",", [[line] for line in lines])
    if fields < 2 or (text.hint is None and len(rows) < _FEWEST_UNNAMED):
        return None
    if text.hint is None and not _looks_like_data(rows, delimiter):
        return None
    return _identity(text, delimiter, rows)


def _rows(lines: list[str], delimiter: str) -> tuple[int, str, list[list[str]]]:
    """How many fields almost all lines have with this delimiter; 0: they differ."""
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return 0, delimiter, []
    if not rows:
        return 0, delimiter, []
    fields = len(rows[0])
    alike = sum(len(row) == fields for row in rows)
    return (fields if alike >= len(rows) * _ALMOST_ALL else 0), delimiter, rows


def _looks_like_data(rows: list[list[str]], delimiter: str) -> bool:
    """Prose has commas too, but no numbers between them, and is not as regular."""
    cells = [cell.strip() for row in rows for cell in row]
    numbers = sum(map(_is_number, cells))
    return delimiter == "\t" or numbers * 5 > len(cells) or (len(rows[0]) > 2 and max(map(len, cells)) < 100)


def _identity(text: PlainText, delimiter: str, rows: list[list[str]]) -> Identity:
    header = not any(map(_is_number, rows[0])) and (len(rows) == 1 or any(map(_is_number, rows[1])) or len(rows[0]) > 1)
    told: dict[str, Any] = {"columns": len(rows[0]), "delimiter": delimiter, "header": header}
    if header:
        told["names"] = facts.first(rows[0])
    if text.encoding != "utf-8":
        told["encoding"] = text.encoding
    return Identity("tsv" if delimiter == "\t" else "csv", DATASET, True, told)


def _is_number(cell: str) -> bool:
    try:
        float(cell[:50])
    except ValueError:
        return False
    return True


FORMAT = Format("csv", Strength.TEXT, matches, describe)
