"""`mlosctl mode benefit`: off and on in turn, what that gained and how sure it is, and the mode left in every case."""

import contextlib
import json
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from tempfile import TemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.cli import benefit, interval
from mlosd.cli.reach import Address
from mlosd.cli.timed_run import CommandFailed, Run, timed
from mlosd.core.errors import BadRequest, MlosError, NotFound, Refused

# --- the order of things ---


class Rehearsal:
    """A mode, a clock and a command, all made up: what happened, in order. With the mode on, a run takes less."""

    def __init__(self, *, drift: float = 0.0, gain: float = 0.1, fails_at: int | None = None) -> None:
        self.log: list[str] = []
        self.is_on = False
        self.number = 0
        self.drift, self.gain, self.fails_at = drift, gain, fails_at

    def enter(self) -> frozenset[int]:
        self.log.append("enter")
        self.is_on = True
        return frozenset({1})

    def leave(self) -> None:
        self.log.append("leave")
        self.is_on = False

    def once(self, cpus: frozenset[int]) -> Run:
        assert cpus == (frozenset({1}) if self.is_on else frozenset())
        self.log.append("on" if self.is_on else "off")
        if self.number == self.fails_at:
            raise CommandFailed(3, "no data")
        seconds = 10.0 * (1 + self.drift * self.number) * (1 - self.gain * self.is_on)
        self.number += 1
        return Run(seconds)


def test_the_mode_is_off_and_on_in_turn_after_a_run_that_does_not_count() -> None:
    rehearsal = Rehearsal()
    off, on = benefit.measure(rehearsal, rehearsal.once, 3)
    assert " ".join(rehearsal.log) == "off off enter on on leave off off enter on leave"
    assert (len(off), len(on)) == (3, 3)


def test_a_machine_that_gets_slower_all_the_time_does_not_hide_the_gain() -> None:
    rehearsal = Rehearsal(drift=0.01, gain=0.1)
    off, on = benefit.measure(rehearsal, rehearsal.once, 6)
    found = interval.ratio([one.wall for one in off], [one.wall for one in on])
    assert abs(found.middle - 0.9) < 0.002


@pytest.mark.parametrize("fails_at", range(7))
def test_the_mode_is_left_when_the_command_fails_at_any_time(fails_at: int) -> None:
    rehearsal = Rehearsal(fails_at=fails_at)
    with pytest.raises(CommandFailed):
        benefit.measure(rehearsal, rehearsal.once, 3)
    assert not rehearsal.is_on
    assert rehearsal.log.count("enter") == rehearsal.log.count("leave")


@given(st.integers(2, 60))
def test_each_pair_has_one_of_both(rounds: int) -> None:
    states = list(benefit.order(rounds))
    assert all({*states[at : at + 2]} == {False, True} for at in range(0, 2 * rounds, 2))
    # It is switched as seldom as can be.
    assert sum(a != b for a, b in pairwise(states)) == rounds


# --- the command ---


@pytest.fixture
def output() -> Iterator[Any]:
    with TemporaryFile() as file:
        yield file


def test_a_run_is_timed(output: Any) -> None:
    found = timed(["sleep", "0.05"], frozenset(), output)
    assert 0.05 <= found.wall < 5
    assert found.step is None


def test_step_times_that_the_command_prints_are_what_counts(output: Any) -> None:
    told = "echo step_time=0.3; echo 1 step_time=0.1 loss=2; echo step_time=2e-1 >&2; echo step_time=0 xstep_time=9"
    assert timed(["sh", "-c", told], frozenset(), output).step == 0.2


def test_each_run_has_an_output_of_its_own(output: Any) -> None:
    timed(["echo", "step_time=5"], frozenset(), output)
    assert timed(["true"], frozenset(), output).step is None


@pytest.mark.parametrize(("script", "code"), [("echo no data; exit 3", 3), ("kill -9 $$", 137)])
def test_a_command_that_fails_says_how(output: Any, script: str, code: int) -> None:
    with pytest.raises(CommandFailed) as failed:
        timed(["sh", "-c", script], frozenset(), output)
    assert failed.value.code == code
    assert failed.value.said == ("no data\n" if code == 3 else "")


def test_it_runs_on_the_cpus_of_the_lease_and_we_do_not(output: Any) -> None:
    before = os.sched_getaffinity(0)
    cpu = min(before)
    script = f"import os, sys; sys.exit(os.sched_getaffinity(0) != {{{cpu}}})"
    timed([sys.executable, "-c", script], frozenset({cpu}), output)
    assert os.sched_getaffinity(0) == before


def test_cpus_that_are_not_ours_are_refused(output: Any) -> None:
    with pytest.raises(Refused, match="may not run on"):
        timed(["true"], frozenset({1023}), output)


# --- the verb ---


class Daemon(Address):
    """A daemon of which the mode is all there is."""

    def __init__(self, *, state: str = "off", others: Sequence[str] = (), refuses: MlosError | None = None) -> None:
        super().__init__(socket="/nowhere", root=None)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.state, self.others, self.refuses = state, others, refuses
        self.leases = 0

    def connect(self) -> Any:
        return contextlib.nullcontext(self)

    def call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        name = method.removeprefix("io.mlosd.Mode.")
        self.calls.append((name, parameters))
        match name:
            case "Status":
                return {"mode": {"state": self.state, "leases": [{"who": who} for who in self.others], "reason": None}}
            case "Enter":
                self.leases += 1
                return {"lease": {"id": 7, "cpus": []}, "mode": {}}
            case "Leave":
                if self.refuses:
                    raise self.refuses
                self.leases -= 1
                return {"leases": [], "mode": {}}
        raise AssertionError(method)

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def test_what_it_gained_is_said_with_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    daemon = Daemon()
    assert benefit.run(daemon, ["echo", "step_time=0.5"], rounds=2, profile="training", cpus="1") == 0
    assert daemon.calls[1] == ("Enter", {"asked": {"profile": "training", "cpus": "1", "pid": os.getpid()}})
    assert daemon.calls[2] == ("Leave", {"lease": 7})
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "ML mode gained nothing that 2 rounds can show (0.0 to 0.0 %)"
    assert "0.5 s for a step" in said.out
    assert "more --rounds" in said.err


def test_programs_get_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert benefit.run(Daemon(), ["true"], rounds=3, json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rounds"], told["measured"], len(told["off"]), len(told["on"])) == (3, "wall", 3, 3)
    assert told["low"] <= told["gain"] <= told["high"]
    assert told["verdict"] in ("gained", "lost", "nothing")


def test_a_command_that_fails_ends_it_with_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    daemon = Daemon()
    assert benefit.run(daemon, ["sh", "-c", "printf oh; exit 5"], rounds=2) == 5
    assert daemon.names() == ["Status"]
    assert "oh\nmlosctl: sh: exit code 5; nothing was measured" in capsys.readouterr().err


def test_no_command_is_a_mistake() -> None:
    with pytest.raises(BadRequest, match="no command"):
        benefit.run(Daemon(), [], rounds=2)


def test_a_command_that_is_not_there_never_enters_the_mode() -> None:
    daemon = Daemon()
    with pytest.raises(FileNotFoundError):
        benefit.run(daemon, ["/nowhere/train"], rounds=2)
    assert daemon.names() == ["Status"]


def test_while_others_hold_the_mode_off_is_not_off(capsys: pytest.CaptureFixture[str]) -> None:
    daemon = Daemon(state="on", others=["job 7", "ann"])
    with pytest.raises(Refused, match="on already, for job 7, ann") as refused:
        benefit.run(daemon, ["true"], rounds=2)
    assert "--anyway" in str(refused.value.hint)
    assert benefit.run(daemon, ["true"], rounds=2, anyway=True) == 0
    assert "one more lease" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["unsupported", "drained"])
def test_a_mode_that_cannot_be_entered_is_said_so_before_anything_runs(state: str) -> None:
    daemon = Daemon(state=state)
    with pytest.raises(Refused, match=state):
        benefit.run(daemon, ["true"], rounds=2, anyway=True)
    assert daemon.names() == ["Status"]


def test_a_mode_that_somebody_ended_meanwhile_was_not_measured() -> None:
    with pytest.raises(Refused, match="somebody ended the mode"):
        benefit.run(Daemon(refuses=NotFound("there is no lease 7")), ["true"], rounds=2)


def interrupted(daemon: Daemon, number: signal.Signals) -> int:
    """Run something long, with a signal as soon as the mode is on; what it answers."""

    def send() -> None:
        while "Enter" not in daemon.names():
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    # Short while the mode is off; long while it is on.
    script = "import os, sys, time; time.sleep(0 if os.environ.get('OFF') else 30)"
    try:
        return benefit.run(daemon, [sys.executable, "-c", script], rounds=2)
    finally:
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_the_mode(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    class Telling(Daemon):
        def call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
            if method.endswith("Enter"):
                monkeypatch.delenv("OFF")
            return super().call(method, parameters)

    monkeypatch.setenv("OFF", "1")
    daemon = Telling()
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    began = time.monotonic()
    if number is signal.SIGINT:
        with pytest.raises(KeyboardInterrupt):
            interrupted(daemon, number)
    else:
        assert interrupted(daemon, number) == 128 + number
    assert time.monotonic() - began < 20
    assert daemon.leases == 0
    assert {one: signal.getsignal(one) for one in handlers} == handlers


# --- the interval ---

times = st.lists(st.tuples(st.floats(0.01, 1e4), st.floats(0.01, 1e4)), min_size=2, max_size=40)


@given(times)
def test_swapping_off_and_on_gives_the_inverse(pairs: list[tuple[float, float]]) -> None:
    off, on = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = interval.ratio(off, on), interval.ratio(on, off)
    assert there.low <= there.middle <= there.high
    for a, b in ((there.middle, back.middle), (there.low, back.high), (there.high, back.low)):
        assert math.isclose(math.log(a), -math.log(b), rel_tol=1e-9, abs_tol=1e-9)
    opposite = {"gained": "lost", "lost": "gained", "nothing": "nothing"}
    assert interval.verdict(back) == opposite[interval.verdict(there)]


@given(times, st.floats(0.1, 10))
def test_the_unit_of_time_does_not_matter(pairs: list[tuple[float, float]], unit: float) -> None:
    off, on = [a for a, _ in pairs], [b for _, b in pairs]
    one, other = interval.ratio(off, on), interval.ratio([a * unit for a in off], [b * unit for b in on])
    assert math.isclose(one.low, other.low, rel_tol=1e-6)
    assert math.isclose(one.high, other.high, rel_tol=1e-6)


@pytest.mark.parametrize("rounds", [2, 3, 5, 10, 30])
@pytest.mark.parametrize("true", [0.9, 1.0, 1.05])
def test_the_interval_holds_the_true_ratio_19_times_of_20(rounds: int, true: float) -> None:
    rng = random.Random(rounds)
    trials = 2000
    held = 0
    for _ in range(trials):
        off = [10 * rng.lognormvariate(0, 0.02) for _ in range(rounds)]
        on = [10 * true * rng.lognormvariate(0, 0.02) for _ in range(rounds)]
        found = interval.ratio(off, on)
        held += found.low <= true <= found.high
    assert 0.935 < held / trials < 0.965


@pytest.mark.parametrize("rounds", [5, 10])
def test_with_skewed_noise_it_does_not_promise_more_than_it_holds(rounds: int) -> None:
    rng = random.Random(1)
    trials, claimed = 2000, 0
    for _ in range(trials):
        off = [10 + rng.expovariate(1.0) for _ in range(rounds)]
        on = [10 + rng.expovariate(1.0) for _ in range(rounds)]
        claimed += interval.verdict(interval.ratio(off, on)) != "nothing"
    assert claimed / trials < 0.06


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.706), (4, 2.776), (10, 2.228), (11, 2.201), (19, 2.093), (60, 2.000)]
)
def test_students_t_is_that_of_the_tables(freedom: int, t: float) -> None:
    assert abs(interval.student(freedom) - t) < 0.001


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        ((0.959, 0.931, 0.988), "gained 4.1 % (1.2 to 6.9 %)"),
        ((1.03, 1.0001, 1.05), "lost 3.0 % (0.0 to 5.0 %)"),
        ((0.995, 0.98, 1.01), "gained nothing that 5 rounds can show (-1.0 to 2.0 %)"),
    ],
)
def test_what_is_said_is_what_a_person_understands(ratio: tuple[float, float, float], said: str) -> None:
    assert interval.words(interval.Ratio(*ratio), 5) == said


@pytest.mark.parametrize(("off", "on"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([], [])])
def test_one_pair_says_nothing(off: list[float], on: list[float]) -> None:
    with pytest.raises(ValueError, match="two pairs"):
        interval.ratio(off, on)


def test_it_imports_nothing_that_is_slow_to_import() -> None:
    import subprocess

    slow = ("click", "dataclasses", "statistics", "numpy", "rich", "asyncio")
    code = f"import mlosd.cli.benefit, sys; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_times_that_vary_beyond_all_sense_are_not_given_as_an_interval() -> None:
    found = interval.ratio([0.001, 1.0], [1.0, 0.001])
    assert "vary too much" in interval.words(found, 2)
