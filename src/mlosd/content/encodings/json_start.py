"""The beginning of a JSON text that may be too long to be read: the keys of the outermost object, as far as they go."""

import json
from dataclasses import dataclass
from typing import Any

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"
_MOST_ITEMS = 2000


@dataclass(frozen=True, slots=True)
class Start:
    """`value`: the object or list, with the items that were read. `ended`: these are all, and `rest` is behind it."""

    value: dict[str, Any] | list[Any]
    ended: bool
    rest: str = ""


class NotJson(ValueError):
    """It does not begin as JSON does."""


def start(text: str) -> Start:
    """Read an object or a list as far as it goes. Raises NotJson; RecursionError where it is nested too deeply."""
    place = _behind_space(text, 0)
    if text[place : place + 1] not in ("{", "["):
        raise NotJson("no object and no list")
    try:
        value, end = _DECODER.raw_decode(text, place)
    except ValueError:
        return _partly(text, place)
    return Start(value, True, text[end:].strip())


def _partly(text: str, place: int) -> Start:
    """The items before the one that is damaged or cut."""
    is_object = text[place] == "{"
    keys: dict[str, Any] = {}
    items: list[Any] = []
    place = _behind_space(text, place + 1)
    try:
        while len(keys) + len(items) < _MOST_ITEMS:
            value, place = _DECODER.raw_decode(text, place)
            if is_object:
                if not isinstance(value, str):
                    raise NotJson("a key is no string")
                key, place = value, _behind(text, place, ":")
                keys[key] = None
                value, place = _DECODER.raw_decode(text, place)
                keys[key] = value
            else:
                items.append(value)
            place = _behind(text, place, ",")
    except NotJson:
        raise
    except ValueError:
        if not keys and not items and place < len(text) and text[place] not in '"{[':
            raise NotJson("no key and no value") from None
    return Start(keys if is_object else items, False)


def _behind(text: str, place: int, mark: str) -> int:
    place = _behind_space(text, place)
    if place < len(text) and text[place] != mark:
        raise NotJson(f"no {mark}")
    return _behind_space(text, place + 1)


def _behind_space(text: str, place: int) -> int:
    while text[place : place + 1] and text[place] in _SPACE:
        place += 1
    return place
