"""Undoing: whatever happened, everything is as before us, but for what somebody else changed meanwhile."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.fakes.fuzzing import rounds

from mlosd.undo.change import FIRST, LAST, NORMAL, Change
from mlosd.undo.kind import Plain
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import Report, order, undo

BOOT = "boot"


class Crash(BaseException):
    """The process is gone."""


class Machine(Plain):
    """A kind whose targets are in a dict. `errors`: targets that refuse, and with what; `dies_in`: steps until a crash.

    A step is anything that is seen from outside: a read, a write, a line of the log.
    """

    def __init__(self, **values: str | None) -> None:
        self.values: dict[str, str | None] = dict(values)
        self.errors: dict[str, BaseException] = {}
        self.writes: list[str] = []
        self.finished = 0
        self.dies_in: int | None = None

    def step(self) -> None:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                raise Crash

    def read(self, target: str) -> str | None:
        self.step()
        if target not in self.values:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.values[target]

    def write(self, target: str, value: str | None) -> None:
        self.step()
        if error := self.errors.get(target):
            raise error
        self.writes.append(target)
        self.values[target] = value

    def command(self, target: str, value: str | None) -> str:
        return f"{target}={value}"

    def finish(self) -> None:
        self.finished += 1


class DyingLog(UndoLog):
    """A log whose process may be gone before any line of it is written."""

    machine: Machine

    def append(self, changes: list[Change]) -> None:  # type: ignore[override]
        self.machine.step()
        super().append(changes)

    def settle(self, keys: list[tuple[str, str]]) -> None:  # type: ignore[override]
        self.machine.step()
        super().settle(keys)


def opened(path: Path, machine: Machine) -> DyingLog:
    log = DyingLog(path, boot=BOOT)
    log.machine = machine
    return log


def change(target: str, before: str | None, after: str | None, *, rank: int = NORMAL, kind: str = "fake") -> Change:
    return Change("knob", kind, target, before, after, rank)


def enter(log: UndoLog, machine: Machine, *changes: Change) -> None:
    log.append(list(changes))
    for one in changes:
        with contextlib.suppress(OSError):
            machine.write(one.target, one.after)


@pytest.fixture
def machine() -> Machine:
    return Machine(a="1", b="2", c=None)


@pytest.fixture
def log(tmp_path: Path, machine: Machine) -> Iterator[UndoLog]:
    log = opened(tmp_path / "undo.log", machine)
    yield log
    log.close()


def targets(found: list[object]) -> list[str]:
    return [getattr(one, "target", None) or one.pending.target for one in found]  # type: ignore[attr-defined]


def test_everything_is_put_back_and_the_log_is_gone(tmp_path: Path, log: UndoLog, machine: Machine) -> None:
    enter(log, machine, change("a", "1", "9"), change("b", "2", "9"), change("c", None, ""))
    report = undo(log, {"fake": machine})
    assert machine.values == {"a": "1", "b": "2", "c": None}
    assert targets([*report.restored]) == ["c", "b", "a"]
    assert not (tmp_path / "undo.log").exists()


def test_what_we_died_before_writing_is_untouched(log: UndoLog, machine: Machine) -> None:
    log.append([change("a", "1", "9")])
    report = undo(log, {"fake": machine})
    assert (targets([*report.untouched]), machine.writes) == (["a"], [])


def test_a_value_changed_by_somebody_else_is_left_alone_and_named(log: UndoLog, machine: Machine) -> None:
    enter(log, machine, change("a", "1", "9"))
    machine.values["a"] = "7"
    [kept] = undo(log, {"fake": machine}).kept
    assert (kept.pending.target, kept.now, kept.reason) == ("a", "7", "changed by somebody else meanwhile")
    assert (machine.values["a"], log.pending()) == ("7", [])


def test_any_value_that_was_ours_is_ours(log: UndoLog, machine: Machine) -> None:
    """We died between the log of the third value and its write: the second is in force."""
    enter(log, machine, change("a", "1", "8"))
    enter(log, machine, change("a", "8", "9"))
    log.append([change("a", "9", "10")])
    undo(log, {"fake": machine})
    assert machine.values["a"] == "1"


def test_what_is_there_while_a_value_is_written_is_ours(log: UndoLog, machine: Machine) -> None:
    machine.passing = lambda target, value: (f"on the way to {value}",)  # type: ignore[method-assign]
    enter(log, machine, change("a", "1", "9"), change("b", "2", "9"), change("c", None, ""))
    machine.values |= {"a": "on the way to 9", "b": "on the way to 2", "c": "on the way to x"}
    kept = undo(log, {"fake": machine}).kept
    assert (machine.values["a"], machine.values["b"], targets([*kept])) == ("1", "2", ["c"])


def test_ranks_come_first_and_then_the_newest(log: UndoLog) -> None:
    ranked = [("a", LAST), ("b", NORMAL), ("c", FIRST), ("d", NORMAL), ("e", FIRST)]
    log.append([change(target, "0", "9", rank=rank) for target, rank in ranked])
    assert targets([*order(log.pending())]) == ["e", "c", "d", "b", "a"]


def test_a_target_that_is_changed_again_keeps_its_place(log: UndoLog) -> None:
    log.append([change("a", "0", "9"), change("b", "0", "9")])
    log.append([change("a", "9", "8")])
    assert targets([*order(log.pending())]) == ["b", "a"]


def test_only_what_is_asked_for_is_put_back(tmp_path: Path, log: UndoLog, machine: Machine) -> None:
    enter(log, machine, change("a", "1", "9"), change("b", "2", "9"))
    undo(log, {"fake": machine}, only=[("fake", "a")])
    assert (machine.values["a"], machine.values["b"]) == ("1", "9")
    assert targets([*log.pending()]) == ["b"]
    assert (tmp_path / "undo.log").exists()


@pytest.mark.parametrize("error", [PermissionError(errno.EPERM, "no"), ValueError("no"), KeyError("no")])
def test_a_target_that_refuses_stays_and_the_others_are_put_back(
    log: UndoLog, machine: Machine, error: BaseException
) -> None:
    enter(log, machine, change("a", "1", "9"), change("b", "2", "9"), change("c", None, ""))
    machine.errors["b"] = error
    [failed] = undo(log, {"fake": machine}).failed
    assert (failed.pending.target, failed.now, "no" in failed.reason) == ("b", "9", True)
    assert (machine.values["a"], machine.values["c"], targets([*log.pending()])) == ("1", None, ["b"])


def test_what_refused_is_put_back_once_it_works(tmp_path: Path, log: UndoLog, machine: Machine) -> None:
    enter(log, machine, change("a", "1", "9"))
    machine.errors["a"] = OSError(errno.EBUSY, "busy")
    assert undo(log, {"fake": machine}).failed
    machine.errors.clear()
    assert targets([*undo(log, {"fake": machine}).restored]) == ["a"]
    assert (machine.values["a"], (tmp_path / "undo.log").exists()) == ("1", False)


def test_a_value_that_does_not_hold_is_a_failure(log: UndoLog, machine: Machine) -> None:
    enter(log, machine, change("a", "1", "9"))
    machine.write = lambda target, value: None  # type: ignore[method-assign]
    [failed] = undo(log, {"fake": machine}).failed
    assert (failed.now, failed.reason) == ("9", "written, and it reads back otherwise")


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENODEV, errno.ENXIO])
def test_what_went_away_with_its_device_is_settled(log: UndoLog, machine: Machine, code: int) -> None:
    enter(log, machine, change("a", "1", "9"))
    machine.errors["a"] = OSError(code, os.strerror(code))
    report = undo(log, {"fake": machine})
    assert (targets([*report.gone]), report.failed, log.pending()) == (["a"], [], [])


def test_a_kind_that_this_version_does_not_know_stays(log: UndoLog, machine: Machine) -> None:
    log.append([change("x", "1", "9", kind="telepathy")])
    [failed] = undo(log, {"fake": machine}).failed
    assert failed.reason == "this version knows no kind 'telepathy'"
    assert targets([*log.pending()]) == ["x"]


def test_what_is_done_once_for_all_is_done_once_and_its_failure_is_told(log: UndoLog, machine: Machine) -> None:
    enter(log, machine, change("a", "1", "9"), change("b", "2", "9"))
    undo(log, {"fake": machine})
    assert machine.finished == 1

    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    machine.finish = fail  # type: ignore[method-assign]
    assert undo(log, {"fake": machine}).unfinished == ["fake: Input/output error"]


def test_lines_of_the_log_that_nobody_can_read_are_told(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "undo.log"
    log = opened(path, machine)
    enter(log, machine, change("a", "1", "9"), change("b", "2", "9"))
    log.close()
    text = path.read_bytes()
    path.write_bytes(text.replace(b'"before":"1"', b'"before":"4"'))
    again = opened(path, machine)
    assert undo(again, {"fake": machine}).damaged == 1
    assert machine.values == {"a": "9", "b": "2", "c": None}
    assert undo(again, {"fake": machine}).damaged == 0


def test_undo_of_nothing_does_nothing(tmp_path: Path, log: UndoLog, machine: Machine) -> None:
    assert undo(log, {"fake": machine}) == Report()
    assert (machine.writes, list(tmp_path.iterdir())) == ([], [])


# What may happen to a machine, in any order. Values of ours, of others and of before are never the same.
TARGETS = ["a", "b", "c", "d"]
RANKS = {"a": NORMAL, "b": LAST, "c": FIRST, "d": NORMAL}
STEPS = st.none() | st.integers(0, 14)
OURS = st.sampled_from(["ours 1", "ours 2", "ours 3"])
BATCH = st.dictionaries(st.sampled_from(TARGETS), OURS, min_size=1)
EVENTS = st.one_of(
    st.tuples(st.just("enter"), BATCH, STEPS),
    st.tuples(st.just("somebody"), st.sampled_from(TARGETS), st.sampled_from(["theirs 1", "theirs 2"])),
    st.tuples(st.just("undo"), st.frozensets(st.sampled_from(TARGETS)) | st.none(), STEPS),
    st.tuples(st.just("refuse"), st.frozensets(st.sampled_from(TARGETS), max_size=2), st.none()),
)


class World:
    """The machine with its log, and beside them what a person would expect of each target."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.machine = Machine(**{target: f"before {target}" for target in TARGETS})
        self.expected = dict(self.machine.values)
        self.originals: dict[str, str | None] = {}

    @contextlib.contextmanager
    def process(self, dies_in: int | None) -> Iterator[DyingLog]:
        """A process that may be gone after so many steps."""
        log = opened(self.path, self.machine)
        self.machine.dies_in = dies_in
        with contextlib.suppress(Crash):
            yield log
        self.machine.dies_in = None
        log.close()

    def enter(self, batch: dict[str, str], dies_in: int | None) -> None:
        """As the daemon does: remember all, write each; put back those that refuse."""
        with self.process(dies_in) as log:
            now = self.machine.values
            log.append([change(target, now[target], value, rank=RANKS[target]) for target, value in batch.items()])
            for target in batch:
                self.originals.setdefault(target, now[target])
            refused = []
            for target, value in batch.items():
                try:
                    self.machine.write(target, value)
                except OSError:
                    refused.append(("fake", target))
                else:
                    self.expected[target] = self.originals[target]
            if refused:
                self.undo_in(log, frozenset(target for _, target in refused))

    def undo(self, only: frozenset[str] | None, dies_in: int | None) -> Report | None:
        with self.process(dies_in) as log:
            return self.undo_in(log, only)
        return None

    def undo_in(self, log: DyingLog, only: frozenset[str] | None) -> Report:
        settle = log.settle

        def noted(keys: list[tuple[str, str]]) -> None:
            settle(keys)
            for _, target in keys:
                self.originals.pop(target, None)

        log.settle = noted  # type: ignore[method-assign]
        return undo(log, {"fake": self.machine}, only=None if only is None else {("fake", one) for one in only})

    def somebody(self, target: str, value: str) -> None:
        self.machine.values[target] = self.expected[target] = value

    def refuse(self, refusing: frozenset[str]) -> None:
        self.machine.errors = {target: OSError(errno.EBUSY, "busy") for target in refusing}


@settings(max_examples=rounds(300), deadline=None)
@given(st.lists(EVENTS, max_size=12))
def test_whatever_happened_everything_is_as_before_us_or_as_somebody_else_wanted_it(
    happened: list[tuple[str, object, object]],
) -> None:
    with tempfile.TemporaryDirectory(prefix="mlosd-undo-") as root:
        path = Path(root, "undo.log")
        world = World(path)
        for what, *details in happened:
            if what == "refuse":
                details.pop()
            getattr(world, what)(*details)
        world.refuse(frozenset())
        report = world.undo(None, None)
        assert report is not None
        assert not report.failed
        assert world.machine.values == world.expected
        assert not path.exists()
        world.machine.writes.clear()
        assert world.undo(None, None) == Report()
        assert (world.machine.values, world.machine.writes) == (world.expected, [])


@settings(max_examples=rounds(50), deadline=None)
@given(BATCH, BATCH, st.integers(0, 40))
def test_an_undo_that_is_killed_at_any_step_is_ended_by_the_next(
    first: dict[str, str], second: dict[str, str], dies_in: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="mlosd-undo-") as root:
        world = World(Path(root, "undo.log"))
        world.enter(first, None)
        world.enter(second, None)
        assume(world.undo(None, dies_in) is None)
        world.undo(None, None)
        assert world.machine.values == {target: f"before {target}" for target in TARGETS}
