"""Sizes and durations: what is shown can be typed again, and nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.cli import quantity
from mlosd.core.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 << 30),
        ("8g", 8 << 30),
        ("8GiB", 8 << 30),
        ("8GB", 8 << 30),
        (" 512M ", 512 << 20),
        ("1.5G", 3 << 29),
        ("0.5K", 512),
        (".5K", 512),
        ("1T", 1 << 40),
        ("100B", 100),
    ],
)
def test_sizes_are_binary(text: str, size: int) -> None:
    assert quantity.size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "8.0",
        "G",
        "8 gigs",
        "8gigs",
        "8Gx",
        "-8G",
        "8G8G",
        "0G",
        "1e3M",
        "\u0663G",
        "9999999P",
        "8iB",
        "BB",
    ],
)
def test_what_is_no_size_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        quantity.size(text)
    assert caught.value.hint


def test_a_size_without_a_unit_is_answered_with_what_it_may_have_meant() -> None:
    with pytest.raises(BadRequest, match="has no unit") as caught:
        quantity.size("8")
    assert caught.value.hint == "8G is 8 GiB, 8M is 8 MiB"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        ("2h", 7200),
        ("1d30m", 88200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("0.2s", 1),
        ("1w", 604800),
    ],
)
def test_durations_add_up(text: str, seconds: int) -> None:
    assert quantity.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "2hours", "30m1h", "1h1h", "h", "-5s", "1:30:00", "2 h", "5ms", "inf"])
def test_what_is_no_duration_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        quantity.duration(text)
    assert caught.value.hint


@given(st.integers(1, quantity.LARGEST // 2))
def test_a_size_that_was_shown_can_be_typed(size: int) -> None:
    again = quantity.size(quantity.show_size(size))
    assert abs(again - size) <= size * 0.05


@given(st.integers(1, 10**9))
def test_a_duration_that_was_shown_can_be_typed(seconds: int) -> None:
    again = quantity.duration(quantity.show_duration(seconds))
    assert abs(again - seconds) <= seconds * 0.15
    if seconds < 3600:
        assert again == seconds


@given(st.text())
def test_any_text_is_a_size_or_refused(text: str) -> None:
    for read in (quantity.size, quantity.duration, quantity.count, quantity.whole):
        try:
            assert isinstance(read(text), int)
        except BadRequest as refused:
            assert refused.hint


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0B"),
        (100, "100B"),
        (8 << 30, "8G"),
        (3 << 29, "1.5G"),
        (1000 << 20, "1000M"),
        (1 << 40, "1T"),
    ],
)
def test_sizes_are_shown_short(size: int, shown: str) -> None:
    assert quantity.show_size(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.25, "0.2s"),
        (59, "59s"),
        (60, "1m"),
        (3661, "1h1m"),
        (90000, "1d1h"),
        (12.6, "13s"),
    ],
)
def test_durations_are_shown_short(seconds: float, shown: str) -> None:
    assert quantity.show_duration(seconds) == shown
