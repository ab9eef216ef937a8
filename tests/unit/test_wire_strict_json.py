"""What is read is what json reads; what could be read in two ways, or costs too much, is refused."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlosd.core.errors import BadMessage
from mlosd.wire import strict_json

TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
LINUX_BYTES = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape"))


@settings(max_examples=50)
@given(st.dictionaries(TEXT, JSON, max_size=5), st.booleans())
def test_what_json_writes_is_read_as_json_reads_it(value: dict[str, Any], ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert strict_json.loads(data) == json.loads(data) == value


@settings(max_examples=50)
@given(st.dictionaries(TEXT, JSON, max_size=5))
def test_what_we_write_json_reads(value: dict[str, Any]) -> None:
    assert json.loads(strict_json.dumps(value)) == value


@given(LINUX_BYTES, LINUX_BYTES)
def test_a_path_that_is_no_utf8_travels_unharmed(key: str, path: str) -> None:
    assert strict_json.loads(strict_json.dumps({key: [path]})) == {key: [path]}


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0dD8cC1-eENnaul \n', max_size=60).map(str.encode))
def test_any_bytes_are_either_read_as_json_reads_them_or_refused(data: bytes) -> None:
    try:
        value = strict_json.loads(data)
    except BadMessage:
        return
    assert value == json.loads(data)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"1", "not a JSON object"),
        (b'{"a":1,"a":1}', "the key 'a' twice"),
        (b'{"a":{"b":1,"b":2}}', "the key 'b' twice"),
        (b'{"a":1,"\\u0061":2}', "the key 'a' twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "too large"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a":"\\ud800"}', "half a surrogate pair"),
        (b'{"a":"\\udc00"}', "half a surrogate pair"),
        (b'{"a":"\\uDFFF"}', "half a surrogate pair"),
        (b'{"\\ud83d":1}', "half a surrogate pair"),
        (b'{"a":"x\\u0000y"}', "NUL"),
        (b'{"a":"\0"}', "not JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not JSON"),
    ],
)
def test_what_is_ambiguous_or_unsound_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(BadMessage, match=complaint):
        strict_json.loads(data)


def test_an_escaped_backslash_makes_no_surrogate() -> None:
    assert strict_json.loads(b'{"a":"\\\\ud800 \\\\u0000"}') == {"a": "\\ud800 \\u0000"}


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert strict_json.loads(b'{"a":"\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_thirty_two_levels_are_read_and_no_more(pair: tuple[bytes, bytes]) -> None:
    begin, end = pair
    strict_json.loads(b'{"x":' + begin * 31 + b"1" + end * 31 + b"}")
    with pytest.raises(BadMessage, match="deeper than 32"):
        strict_json.loads(b'{"x":' + begin * 32 + b"1" + end * 32 + b"}")


def test_brackets_in_strings_are_no_depth() -> None:
    value = {"x": "[{" * 100, 'quote"[': '\\"[' * 50, "wide": [[], {}] * 40}
    assert strict_json.loads(json.dumps(value).encode()) == value


def test_a_message_has_a_largest_size() -> None:
    fits = b'{"a":"' + b"x" * (strict_json.LARGEST - 8) + b'"}'
    assert strict_json.loads(fits)
    with pytest.raises(BadMessage, match="larger"):
        strict_json.loads(fits + b" ")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * (1 << 20),
        b"[]" * (1 << 19),
        b'{"a":["' + b"[" * 40 + b'\\"' * 500_000,
        b'{"a":[' + b"[]," * 300_000 + b"[]]}",
        b"{" + b",".join(b'"%d":0' % n for n in range(90_000)) + b',"89999":0}',
        b'{"a":[' + b"9" * 4000 + (b"," + b"9" * 4000) * 250 + b"]}",
        b'{"a":"' + b"\\u0041" * 170_000 + b'\\ud800"}',
    ],
    ids=["open", "pairs", "quotes", "wide", "keys", "digits", "escapes"],
)
def test_no_message_takes_long(data: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(BadMessage):
        strict_json.loads(data)
    assert time.process_time() - began < 1.0
