"""JSON as this wire has it: one object, at most 1 MiB and 32 levels, each key once, finite numbers, sound strings."""

import json
import math
import re

from mlosd.core.errors import BadMessage

LARGEST = 1 << 20
DEEPEST = 32

# Escapes that could make a NUL or a surrogate; most messages have none, and need no look at each string.
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}|[dD][c-fC-F][0-9a-fA-F]{2})")
_FORBIDDEN = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
# Matches an unended string, too: the pattern never fails at a quote, so it is linear on any input.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BRACES_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")

Parsed = dict[str, object]


def loads(data: bytes, *, largest: int = LARGEST) -> Parsed:
    """Read one JSON object, or raise BadMessage."""
    if len(data) > largest:
        raise BadMessage(f"the message is larger than {largest} bytes")
    _check_depth(data)
    try:
        value = _decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadMessage(f"the message is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise BadMessage(f"the message is not JSON: {error}") from error
    except ValueError as error:  # more digits than Python reads
        raise BadMessage("a number of the message is too large") from error
    if not isinstance(value, dict):
        raise BadMessage("the message is not a JSON object")
    if _SUSPICIOUS.search(data):
        _check_strings(value)
    return value


def dumps(value: object) -> bytes:
    """Write JSON as compactly as it goes, in ASCII: a string that came by surrogateescape has no UTF-8."""
    return _encode(value).encode("ascii")


def _check_depth(data: bytes) -> None:
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return
    # Each round takes the innermost pairs away: C speed, no recursion, linear in the size of the message.
    brackets = _STRING.sub(b"", data).translate(_BRACES_TO_BRACKETS, _NOT_BRACKETS)
    for _ in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise BadMessage(f"the message is nested deeper than {DEEPEST} levels, or its brackets do not match")


def _check_strings(value: object) -> None:
    match value:
        case str():
            if _FORBIDDEN.search(value):
                raise BadMessage("a string of the message has a NUL or half a surrogate pair in it")
        case list():
            for item in value:
                _check_strings(item)
        case dict():
            for key, item in value.items():
                _check_strings(key)
                _check_strings(item)


def _object(pairs: list[tuple[str, object]]) -> Parsed:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise BadMessage(f"the message has the key {_first_repeated(pairs)[:64]!a} twice in one object")
    return result


def _first_repeated(pairs: list[tuple[str, object]]) -> str:
    seen = set[str]()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("no key is repeated")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadMessage("a number of the message is too large")
    return value


def _constant(text: str) -> float:
    raise BadMessage(f"the message is not JSON: {text} is no number")


# Made once: json.loads() with hooks would make a decoder for every message.
_decode = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant).decode
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
