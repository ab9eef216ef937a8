"""What a trace comes to."""

from dataclasses import replace

import pytest

from mlosd.kernel import trace
from mlosd.kernel.trace import Again, Begin, Closed, End, Exited, File, Partial, Process, Record, Renamed
from mlosd.lineage.account import EXEC, READ, WRITE, Reading, State, account

BEGUN = 1_000_000_000_000
OLD, NEW = BEGUN - 10**12, BEGUN + 5


def a_file(number: int = 0, *, modes: str = "r", size: int = 10, born: int = OLD, path: bytes | None = b"/d/f") -> File:
    return File(number, 7, 42, modes, "0" * 16, 1, b"h%d" % number, 1, b"p", 5, size, OLD, OLD, born, path)


def a_trace(*records: Record) -> list[Record]:
    return [Begin(BEGUN, 0), *records, End(99)]


def test_a_file_that_was_only_opened_is_an_input_as_it_was_at_first_sight() -> None:
    used = account(a_trace(a_file())).files[0]
    assert (used.modes, used.is_input, used.after) == (READ, True, None)
    assert used.before == State(10, OLD, OLD)


def test_a_new_file_that_was_written_is_no_input_even_when_it_is_read_again() -> None:
    records = a_trace(a_file(size=0, born=NEW), Closed(0, 8, 42, 20, NEW, NEW), Again(0, 9, "r"))
    used = account(records).files[0]
    assert used.after == State(20, NEW, NEW)
    assert not used.is_input


def test_an_old_file_that_was_changed_in_place_is_input_and_output() -> None:
    used = account(a_trace(a_file(), Closed(0, 8, 42, 20, NEW, NEW))).files[0]
    assert used.is_input
    assert used.modes == READ | WRITE


def test_an_old_file_that_was_emptied_and_written_is_output_only() -> None:
    assert not account(a_trace(a_file(size=0), Closed(0, 8, 42, 20, NEW, NEW))).files[0].is_input


@pytest.mark.parametrize(
    ("mtime", "ctime", "left", "is_input"),
    [
        (BEGUN + 10**18, OLD, State(20, NEW, NEW), True),  # from the future, and not touched: read, then written
        (NEW, NEW, State(20, NEW + 1, NEW + 1), False),  # written before anybody looked
        (OLD, NEW, State(20, NEW + 1, NEW + 1), True),  # renamed before anybody looked
        (OLD, NEW, State(10, OLD, NEW), False),  # cp -p onto it
    ],
)
def test_times_that_were_set_by_hand_do_not_make_an_output_an_input(
    mtime: int, ctime: int, left: State, is_input: bool
) -> None:
    first = replace(a_file(), mtime_ns=mtime, ctime_ns=ctime)
    used = account(a_trace(first, Closed(0, 8, 42, left.size, left.mtime_ns, left.ctime_ns))).files[0]
    assert used.is_input == is_input


def test_the_last_of_many_saves_counts() -> None:
    records = a_trace(a_file(born=NEW), Closed(0, 8, 42, 20, NEW, NEW), Closed(0, 9, 42, 30, NEW + 1, NEW + 1))
    assert account(records).files[0].after == State(30, NEW + 1, NEW + 1)


def test_a_file_is_where_it_was_last_renamed_to() -> None:
    records = a_trace(a_file(path=b"/d/m.tmp"), Renamed(0, 8, 42, b"/d/m.pt"))
    assert account(records).files[0].path == b"/d/m.pt"


def test_what_is_executed_is_an_input() -> None:
    used = account(a_trace(a_file(modes="rx"))).files[0]
    assert used.modes == READ | EXEC
    assert used.is_input


def test_a_process_that_becomes_another_program_stays_one_and_a_pid_used_again_is_two() -> None:
    records = a_trace(
        Process(1, 42, 0, None), Process(2, 42, 0, b"/bin/sh"), Exited(3, 42, 256), Process(4, 42, 7, b"/bin/cat")
    )
    first, second = account(records).processes
    assert (first.executable, first.status) == (b"/bin/sh", 256)
    assert (second.executable, second.status, second.parent) == (b"/bin/cat", None, 7)


def test_each_reason_is_told_once() -> None:
    assert account(a_trace(Partial("overflow"), Partial("overflow"))).reasons == ["overflow"]


def test_a_trace_may_come_in_any_pieces() -> None:
    records = a_trace(a_file(path=b"/d/with space\nand newline"), Closed(0, 8, 42, 20, NEW, NEW))
    text = b"".join(trace.line(record) for record in records)
    reading = Reading()
    for at in range(len(text)):
        reading.feed(text[at : at + 1])
    assert reading.account == account(records)
    assert reading.account.ended


def test_a_damaged_trace_keeps_what_came_before_and_says_so() -> None:
    reading = Reading()
    reading.feed(trace.line(Begin(BEGUN, 0)) + trace.line(a_file()) + b"nonsense\n")
    reading.feed(trace.line(End(9)))
    assert list(reading.account.files) == [0]
    assert reading.account.reasons == ["the trace is damaged"]
    assert not reading.account.ended
