"""A plan carried out: remembered, written, read back; and taken back where a core knob is refused."""

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.fakes.kinds import Shelf

from mlosd.mode.knob import Use
from mlosd.mode.plan import Plan, Step
from mlosd.mode.reconcile import CoreRefused, Outcome, reconcile
from mlosd.undo.change import Pending
from mlosd.undo.log import UndoLog

EBUSY = OSError(errno.EBUSY, "Device or resource busy")


@pytest.fixture
def log(tmp_path: Path) -> UndoLog:
    return UndoLog(tmp_path / "undo.log", boot="this")


def step(target: str, now: str, value: str, *, use: Use = "optional") -> Step:
    return Step("set", "knob", use, "undo log", "shelf", target, now, value, 100)


def carry_out(steps: Sequence[Step], shelf: Shelf, log: UndoLog, back: Sequence[Pending] = ()) -> Outcome:
    return reconcile(Plan(tuple(steps), tuple(back)), log, {"shelf": shelf})


def test_everything_is_remembered_before_anything_is_written(log: UndoLog) -> None:
    class Watched(Shelf):
        def write(self, target: str, value: str | None) -> None:
            # What a restorer would see if we died now.
            copy = log.path.with_name(f"seen-{target}.log")
            shutil.copy(log.path, copy)
            assert {one.target for one in UndoLog(copy, boot="this").pending()} == {"a", "b"}
            super().write(target, value)

    shelf = Watched(a="1", b="2")
    carry_out([step("a", "1", "10"), step("b", "2", "20")], shelf, log)
    assert shelf.values == {"a": "10", "b": "20"}


def test_a_refused_core_knob_takes_back_what_the_plan_did(log: UndoLog) -> None:
    shelf = Shelf(a="1", b="2", c="3")
    shelf.refuses["b"] = EBUSY
    with pytest.raises(CoreRefused, match="b cannot be 20: Device or resource busy") as refused:
        carry_out([step("a", "1", "10"), step("b", "2", "20", use="core"), step("c", "3", "30")], shelf, log)
    assert shelf.values == {"a": "1", "b": "2", "c": "3"}
    assert ("c", "30") not in shelf.written
    assert "false" in (refused.value.hint or "")
    assert (log.pending(), log.path.exists()) == ([], False)


def test_a_refused_optional_knob_is_listed_and_the_others_are_set(log: UndoLog) -> None:
    shelf = Shelf(a="1", b="2")
    shelf.refuses["a"] = EBUSY
    outcome = carry_out([step("a", "1", "10"), step("b", "2", "20", use="core")], shelf, log)
    assert [(one.step.target, one.reason) for one in outcome.refused] == [("a", "Device or resource busy")]
    assert shelf.values == {"a": "1", "b": "20"}
    assert [one.target for one in log.pending()] == ["b"]


def test_a_value_that_reads_back_otherwise_is_refused_and_put_back(log: UndoLog) -> None:
    shelf = Shelf(a="1")
    shelf.bends["a"] = "9"
    outcome = carry_out([step("a", "1", "10")], shelf, log)
    assert outcome.refused[0].reason == "it reads back '9'"


def test_a_core_knob_refused_while_others_hold_the_mode_leaves_theirs_in_force(log: UndoLog) -> None:
    shelf = Shelf(a="1", b="2")
    carry_out([step("a", "1", "10")], shelf, log)
    shelf.refuses["b"] = EBUSY
    with pytest.raises(CoreRefused):
        carry_out([step("a", "10", "11"), step("b", "2", "20", use="core")], shelf, log)
    assert shelf.values == {"a": "10", "b": "2"}
    [left] = log.pending()
    assert (left.before, left.after) == ("1", "10")


def test_what_nobody_wants_any_more_is_given_back_first(log: UndoLog) -> None:
    shelf = Shelf(a="1", b="2")
    carry_out([step("a", "1", "10")], shelf, log)
    shelf.written.clear()
    carry_out([step("b", "2", "20")], shelf, log, log.pending())
    assert shelf.written == [("a", "1"), ("b", "20")]


def test_a_plan_of_nothing_writes_no_log(log: UndoLog) -> None:
    carry_out([], Shelf(), log)
    assert not log.path.exists()


def test_a_log_that_cannot_be_written_stops_the_plan_before_its_first_write(
    log: UndoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log, "append", full)
    shelf = Shelf(a="1")
    with pytest.raises(OSError, match="No space left"):
        carry_out([step("a", "1", "10")], shelf, log)
    assert (shelf.values, shelf.written) == ({"a": "1"}, [])
