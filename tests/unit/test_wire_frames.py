"""Bytes become the same messages however they arrive, and descriptors stay with their message."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mlosd.wire.frames import Frame, Frames

MESSAGES = st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\0", b"-")), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


@given(MESSAGES, st.lists(st.integers(min_value=0), max_size=10))
def test_a_stream_cut_anywhere_gives_the_same_messages(messages: list[bytes], places: list[int]) -> None:
    frames = Frames(largest=100)
    stream = b"".join(message + b"\0" for message in messages)
    assert [frame for piece in cut(stream, places) for frame in frames.feed(piece)] == [Frame(m) for m in messages]
    assert not frames.partial
    assert not frames.oversized


@given(st.lists(st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"\0", b"-")), min_size=1, max_size=6))
def test_descriptors_stay_with_the_message_that_brought_them(messages: list[bytes]) -> None:
    # As recvmsg(2) would return it: whatever came before may be joined to the first piece, but nothing after it.
    frames = Frames(largest=100)
    found: list[Frame] = []
    joined = b""
    for number, message in enumerate(messages):
        half = len(message) // 2 + 1
        found += frames.feed(joined + message[:half], (number,))
        joined = message[half:] + b"\0"
    found += frames.feed(joined)
    assert found == [Frame(message, (number,)) for number, message in enumerate(messages)]


def test_descriptors_that_come_with_a_whole_message_belong_to_it() -> None:
    frames = Frames(largest=100)
    assert frames.feed(b"one\0two\0", (7, 8)) == [Frame(b"one"), Frame(b"two", (7, 8))]


def test_a_message_may_have_the_largest_size_and_not_a_byte_more() -> None:
    frames = Frames(largest=4)
    assert frames.feed(b"ok\0four\0") == [Frame(b"ok"), Frame(b"four")]
    assert frames.feed(b"one\0twofive\0three\0") == [Frame(b"one")]
    assert frames.oversized


def test_what_is_too_large_is_refused_before_its_end_comes() -> None:
    frames = Frames(largest=4)
    assert frames.feed(b"abc") == []
    assert not frames.oversized
    assert frames.feed(b"de", (9,)) == []
    assert frames.oversized
    assert frames.abandon() == [9]


def test_descriptors_of_a_message_that_never_ends_are_handed_back() -> None:
    frames = Frames(largest=100)
    frames.feed(b"half", (5,))
    frames.feed(b"more", (6,))
    assert frames.fds_held == 2
    assert frames.abandon() == [5, 6]
    assert not frames.partial
