"""Header facts as bounded JSON: what a file says of itself is cut before anybody else has to hold it."""

import json
import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

MOST_BYTES = 64 << 10
MOST_NAMES = 100
_MOST_TEXT = 1000
_MOST_ITEMS = 200
_DEPTH = 6
_SHORTER = (100, 20, 0)


def first(names: Iterable[str]) -> list[str]:
    """The first of many names, each cut."""
    return [text(name, most=200) for name in islice(names, MOST_NAMES)]


def text(words: str | bytes, *, most: int = _MOST_TEXT) -> str:
    """Words from a file, cut, and printable as UTF-8 whatever they were."""
    if isinstance(words, bytes):
        words = words[: most + 1].decode("utf-8", "replace")
    if len(words) > most:
        words = words[:most] + "..."
    return words.encode("utf-8", "replace").decode("utf-8")


def bounded(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header such that it is JSON of at most 64 KiB. Says "cut": true where something had to go."""
    plain = _plain(header, _DEPTH, _MOST_ITEMS)
    for most in _SHORTER:
        if len(json.dumps(plain)) <= MOST_BYTES:
            return dict(plain)
        plain = {**_plain(header, _DEPTH, most), "cut": True}
    return dict(plain) if len(json.dumps(plain)) <= MOST_BYTES else {"cut": True}


def _plain(value: Any, depth: int, most: int) -> Any:
    match value:
        case None | bool():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)[:100] if abs(value) < 2**300 else "huge"
        case float():
            return value if math.isfinite(value) else str(value)
        case str() | bytes():
            return text(value)
        case Mapping() if depth:
            items = islice(value.items(), most)
            return {text(str(key), most=200): _plain(item, depth - 1, most) for key, item in items}
        case list() | tuple() if depth:
            return [_plain(item, depth - 1, most) for item in islice(value, most)]
        case _:
            return "..."
