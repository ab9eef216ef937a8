"""When what inotify told is looked at: after some quiet, but not never; and how often a root is rescanned."""

from itertools import pairwise

import pytest

from mlosd.projects.watch import LONGEST, QUIET, RESCAN_EVERY, Backoff, Debounce


def test_a_file_is_looked_at_when_it_has_been_quiet_for_long_enough() -> None:
    waiting = Debounce[str]()
    waiting.note("a", 10.0)
    assert waiting.next_due() == 10.0 + QUIET
    waiting.note("a", 10.4)
    assert waiting.take(10.0 + QUIET) == []
    assert waiting.take(10.4 + QUIET) == ["a"]
    assert waiting.next_due() is None


def test_a_file_that_is_never_quiet_is_looked_at_now_and_then() -> None:
    waiting = Debounce[str]()
    looks = []
    for tick in range(100):
        waiting.note("log", tick / 5)
        looks += [tick / 5] * len(waiting.take(tick / 5))
    assert looks == pytest.approx([LONGEST, LONGEST * 2 + 0.2, LONGEST * 3 + 0.4])


def test_one_restless_file_does_not_hold_up_another() -> None:
    waiting = Debounce[str]()
    waiting.note("quiet", 0.0)
    waiting.note("restless", 0.0)
    waiting.note("restless", 0.4)
    assert waiting.take(QUIET) == ["quiet"]
    assert list(waiting) == ["restless"]


def test_the_two_ends_of_a_rename_are_looked_at_together() -> None:
    waiting = Debounce[str]()
    waiting.note("from", 1.0)
    waiting.note("to", 1.0001)
    assert waiting.take(1.0 + QUIET) == ["from", "to"]


def test_nothing_is_due_when_nothing_changed() -> None:
    waiting = Debounce[str]()
    assert (waiting.next_due(), waiting.take(1e9), len(waiting)) == (None, [], 0)


def test_who_wants_to_know_now_waits_for_no_quiet() -> None:
    waiting = Debounce[str]()
    waiting.note("a", 0.0)
    assert waiting.take_all() == ["a"]
    assert len(waiting) == 0


def rescans(asks: list[float]) -> list[float]:
    """When a root is rescanned if something is missed at these times, and each rescan takes no time."""
    backoff, began = Backoff(), []
    for asked in [*asks, 1e9]:
        while backoff.due is not None and backoff.due <= asked:
            began.append(backoff.due)
            backoff.begin(backoff.due)
        if asked < 1e9:
            backoff.ask(asked)
    return began


def test_the_first_rescan_begins_at_once() -> None:
    assert rescans([7.0]) == [7.0]


def test_many_overflows_are_one_rescan_and_one_after_it() -> None:
    assert rescans([0.0, *(n / 100 for n in range(1, 400))]) == [0.0, RESCAN_EVERY[0]]


def test_a_rescan_that_is_asked_for_during_another_is_not_forgotten() -> None:
    backoff = Backoff()
    backoff.ask(0.0)
    backoff.begin(0.0)
    assert backoff.due is None
    assert backoff.ask(0.1) == RESCAN_EVERY[0]


def test_rescans_of_a_restless_root_become_ever_more_seldom() -> None:
    began = rescans([n / 10 for n in range(6000)])
    gaps = [b - a for a, b in pairwise(began)]
    least, most = RESCAN_EVERY
    assert min(gaps) >= least
    assert gaps[-1] == pytest.approx(most)
    assert gaps == sorted(gaps)
    assert began[-1] >= 599.9


def test_a_root_that_has_calmed_down_is_rescanned_at_once_again() -> None:
    began = rescans([0.0, 1.0, 2.0, 1000.0, 1001.0])
    assert began == [0.0, RESCAN_EVERY[0], 1000.0, 1000.0 + RESCAN_EVERY[0]]
