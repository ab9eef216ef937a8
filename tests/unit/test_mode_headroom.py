"""Headroom: background is held back as far as training would wait otherwise, and gets everything back."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlosd.mode import headroom
from mlosd.mode.headroom import (
    Action,
    FreezeJobs,
    LiftQuota,
    Nothing,
    Rates,
    Sample,
    SetQuota,
    State,
    ThawJobs,
    Wakes,
    end,
    split,
    step,
    wakes,
)

FLOOR = 2 * headroom.FLOOR_US
Share = Callable[[float], float]


@dataclass
class Machine:
    """Training waits by as much as background and jobs use the CPUs, and a little for itself.

    `hogs`, `jobs`: CPUs that they would use at a time. `own`: per cent of time that training waits for itself.
    """

    hogs: Share = lambda at: 0.0
    jobs: Share = lambda at: 0.0
    own: float = 0.0
    gain: float = 30.0
    cpus: int = 2
    at: float = 100.0
    waited: float = 0.0
    training: float = 0.0
    background: float = 0.0
    pressure: float = 0.0
    quota: int | None = None
    frozen: bool = False
    log: list[tuple[float, Action, State]] = field(default_factory=list)
    state: State = field(default_factory=State)

    def pass_time(self, seconds: float) -> None:
        used = min(self.hogs(self.at), self.cpus, self.cpus if self.quota is None else self.quota / 1e6)
        jobs = 0.0 if self.frozen else self.jobs(self.at)
        self.pressure = min(100.0, self.own + self.gain * (used + jobs) / self.cpus)
        self.at += seconds
        self.waited += self.pressure / 100 * seconds * 1e6
        self.background += used * seconds * 1e6
        self.training += (self.cpus - self.pressure / 100) * seconds * 1e6

    def look(self) -> None:
        sample = Sample(
            at=self.at,
            waited_us=int(self.waited),
            training_us=int(self.training),
            background_us=int(self.background),
            cpus=self.cpus,
            can_freeze=self.jobs(self.at) > 0,
        )
        self.state, actions = step(self.state, sample)
        for action in actions:
            self.log.append((self.at, action, self.state))
            match action:
                case SetQuota(us_per_second):
                    self.quota = us_per_second
                case LiftQuota():
                    self.quota = None
                case FreezeJobs():
                    self.frozen = True
                case ThawJobs():
                    self.frozen = False

    def run(self, seconds: float) -> list[float]:
        """Live as `wakes` says; the pressure of each second."""
        until, seen = self.at + seconds, []
        due: float | None = 0.0
        while self.at < until:
            self.pass_time(1.0)
            seen.append(self.pressure)
            told = wakes(self.state)
            fires = told.trigger is not None and self.pressure > headroom.TARGET
            due = None if told.period is None else (due or 0.0) + 1.0
            if fires or (told.period is not None and due is not None and due >= told.period):
                self.look()
                due = 0.0
        return seen

    def actions(self) -> list[Action]:
        return [action for _, action, _ in self.log if not isinstance(action, Nothing)]


def sample(at: float, waited: float, background: float = 0.0, **more: int) -> Sample:
    """`waited`, `background`: seconds since the beginning."""
    return Sample(
        at, int(waited * 1e6), more.pop("training", 0), int(background * 1e6), 2, bool(more.get("can_freeze"))
    )


def test_while_nobody_waits_there_is_a_trigger_and_no_timer() -> None:
    assert wakes(State()) == Wakes("some 100000 2000000", None)
    assert wakes(State(), target=0.1) == Wakes("some 2000 2000000", None)


def test_awake_there_is_a_timer() -> None:
    state, actions = step(State(), sample(100, 0))
    assert isinstance(actions[0], Nothing)
    assert wakes(state) == Wakes(None, headroom.PERIOD)


def test_a_short_wait_needs_no_measure_and_goes_back_to_sleep() -> None:
    state, _ = step(State(), sample(100, 0))
    state, (action,) = step(state, sample(101, 0.04))
    assert isinstance(action, Nothing)
    assert wakes(state).period is None


def test_the_quota_is_computed_from_what_background_really_used() -> None:
    state, _ = step(State(), sample(100, 0, 50))
    state, (action,) = step(state, sample(101, 0.2, 51))
    assert action == SetQuota(700_000, "training waits 20.0 % of the time, more than 5 %")
    state, (action,) = step(state, sample(102, 0.4, 51.7))
    assert action == SetQuota(490_000, "training waits 20.0 % of the time, more than 5 %")


def test_a_quota_is_cut_from_the_use_when_that_is_less() -> None:
    state = State(last=sample(100, 0, 0), quota=1_000_000, until=102)
    _, (action,) = step(state, sample(101, 0.2, 0.5))
    assert isinstance(action, SetQuota)
    assert action.us_per_second == 350_000


def test_background_is_never_cut_below_the_floor() -> None:
    state = State(last=sample(100, 0, 0), quota=FLOOR + 1, until=102)
    state, (action,) = step(state, sample(101, 0.2, 0.11))
    assert isinstance(action, SetQuota)
    assert action.us_per_second == FLOOR


def test_jobs_are_frozen_when_the_lowest_quota_is_not_enough() -> None:
    began = Rates(20.0, 1e6, 1e6)
    state = State(last=sample(100, 0, 0), quota=FLOOR, until=102, began=began)
    state, (action,) = step(state, sample(101, 0.2, 0.1, can_freeze=1))
    assert isinstance(action, FreezeJobs)
    assert state.frozen


def test_without_jobs_nothing_is_frozen() -> None:
    state = State(last=sample(100, 0, 0), quota=FLOOR, until=102, began=Rates(90.0, 1e6, 1e6))
    state, (action,) = step(state, sample(101, 0.2, 0.1))
    assert isinstance(action, Nothing)
    assert state.quota == FLOOR


def test_what_was_taken_is_held_for_a_while() -> None:
    state = State(last=sample(100, 0, 0), quota=500_000, until=103, hold=2)
    state, (action,) = step(state, sample(101, 0, 0.5))
    assert isinstance(action, Nothing)
    assert "held for 2 s more" in action.reason
    state, _ = step(state, sample(102, 0, 1.0))
    state, (action,) = step(state, sample(103, 0, 1.5))
    assert isinstance(action, SetQuota)
    assert action.us_per_second == 750_000


def test_within_the_target_but_not_half_of_it_nothing_changes() -> None:
    state = State(last=sample(100, 0, 0), quota=500_000, until=100)
    after, (action,) = step(state, sample(101, 0.03, 0.5))
    assert isinstance(action, Nothing)
    assert after.quota == 500_000


def test_a_quota_that_holds_nobody_back_is_lifted_within_the_target() -> None:
    state = State(last=sample(100, 0, 0), quota=500_000, until=100)
    _, (action,) = step(state, sample(101, 0.03, 0.3))
    assert isinstance(action, LiftQuota)


def test_the_frozen_are_thawed_before_the_quota_is_raised() -> None:
    state = State(last=sample(100, 0, 0), quota=FLOOR, frozen=True, until=100)
    state, (action,) = step(state, sample(101, 0, 0.1))
    assert isinstance(action, ThawJobs)
    assert (state.frozen, state.quota) == (False, FLOOR)


def test_a_quota_that_nobody_needs_is_lifted_at_once() -> None:
    state = State(last=sample(100, 0, 0), quota=500_000, until=100)
    state, (action,) = step(state, sample(101, 0, 0.1))
    assert isinstance(action, LiftQuota)
    state, _ = step(state, sample(102, 0, 0.1))
    assert wakes(state).period is None


def test_a_breach_soon_after_something_was_given_back_doubles_the_hold() -> None:
    state = State(last=sample(100, 0, 0), quota=500_000, until=102, hold=2, given_back=True)
    state, _ = step(state, sample(101, 0.2, 0.5))
    assert (state.hold, state.until) == (4, 105)
    state, _ = step(state, sample(102, 0.4, 1.0))
    assert state.hold == 4  # the same breach goes on


def test_the_hold_has_a_longest_and_quiet_times_halve_it() -> None:
    state = State(last=sample(1000, 0, 0), until=1000, hold=60, given_back=True)
    assert step(state, sample(1001, 0.2, 1))[0].hold == 60
    assert step(replace(state, until=990, hold=8), sample(1001, 0.2, 1))[0].hold == 4
    assert step(replace(state, until=100), sample(1001, 0.2, 1))[0].hold == headroom.SHORTEST_HOLD


def test_counters_that_began_anew_are_no_breach() -> None:
    state = State(last=sample(100, 50, 50), quota=500_000, until=100)
    after, (action,) = step(state, sample(101, 0, 0))
    assert isinstance(action, Nothing)
    assert (after.quota, after.last) == (500_000, sample(101, 0, 0))


def test_two_looks_at_once_are_one() -> None:
    state = State(last=sample(100, 0, 0), until=100)
    assert step(state, sample(100.1, 0.1, 0.1))[0] == state
    assert step(state, sample(100, 0, 0))[0] == state


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        (State(), []),
        (State(quota=FLOOR), [LiftQuota]),
        (State(frozen=True), [ThawJobs]),
        (State(quota=FLOOR, frozen=True), [ThawJobs, LiftQuota]),
        (State(rests=True), []),
    ],
)
def test_the_end_gives_everything_back(state: State, kinds: list[type[Action]]) -> None:
    assert [type(action) for action in end(state)] == kinds


def test_a_quota_is_shared_as_the_slices_used_the_cpus() -> None:
    assert split(1_000_000, {"user.slice": 3.0, "system.slice": 1.0}) == {
        "user.slice": 750_000,
        "system.slice": 250_000,
    }
    assert split(100_000, {"user.slice": 99.0, "system.slice": 0.0})["system.slice"] == headroom.FLOOR_US
    assert split(400_000, {"a": 0.0, "b": 0.0}) == {"a": 200_000, "b": 200_000}
    assert split(400_000, {}) == {}


# --- a whole machine ---


def test_a_hog_is_held_until_training_waits_no_more_than_the_target() -> None:
    machine = Machine(hogs=lambda at: 2.0)
    seen = machine.run(300)
    late = seen[100:]
    assert sum(pressure > headroom.TARGET for pressure in late) < 0.1 * len(late)
    assert machine.quota is not None
    assert machine.quota > FLOOR  # and no more than it takes


def test_it_takes_seconds_until_training_is_protected() -> None:
    seen = Machine(hogs=lambda at: 2.0).run(60)
    assert next(second for second, pressure in enumerate(seen) if pressure <= headroom.TARGET) < 12


def test_when_the_hog_goes_everything_is_given_back_and_nothing_runs() -> None:
    machine = Machine(hogs=lambda at: 2.0 if at < 200 else 0.0)
    machine.run(400)
    assert (machine.quota, machine.frozen) == (None, False)
    assert wakes(machine.state).period is None


def test_jobs_that_hurt_are_frozen_and_thawed_when_they_are_done() -> None:
    machine = Machine(hogs=lambda at: 0.2, jobs=lambda at: 1.0 if at < 300 else 0.0)
    machine.run(100)
    assert FreezeJobs in {type(action) for action in machine.actions()}
    machine.run(600)
    assert (machine.quota, machine.frozen) == (None, False)


def test_training_that_waits_for_its_own_threads_does_not_cost_background_much() -> None:
    machine = Machine(own=80.0, hogs=lambda at: 1.0, gain=0.5)
    free = []
    for _ in range(1800):
        machine.run(1)
        free.append(machine.quota is None)
    assert sum(free) > 0.8 * len(free)


def test_a_hog_that_comes_while_it_rests_is_noticed() -> None:
    machine = Machine(own=6.0, hogs=lambda at: 0.0 if at < 400 else 2.0)
    machine.run(290)
    assert machine.state.rests
    machine.run(60)
    assert machine.quota is not None


shares = st.lists(st.floats(0, 4), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    hogs=shares,
    jobs=shares,
    own=st.floats(0, 20),
    gain=st.floats(0, 100),
    cpus=st.sampled_from([1, 2, 16]),
    every=st.integers(3, 200),
)
def test_whatever_happens_it_is_held_never_starved_and_given_back(  # type: ignore[no-untyped-def]
    **shape,
) -> None:
    every = shape["every"]
    machine = Machine(
        hogs=lambda at: shape["hogs"][int(at / every) % len(shape["hogs"])],
        jobs=lambda at: shape["jobs"][int(at / every) % len(shape["jobs"])],
        own=shape["own"],
        gain=shape["gain"],
        cpus=shape["cpus"],
    )
    machine.run(600)
    floor = headroom.FLOOR_US * machine.cpus
    quota: int | None = None
    frozen = False
    last, hold = -100.0, 0.0
    for at, action, state in machine.log:
        match action:
            case SetQuota(us):
                assert us >= floor
                given_back = quota is not None and us > quota
                quota = us
            case LiftQuota():
                assert quota is not None
                given_back, quota = True, None
            case FreezeJobs():
                assert not frozen
                given_back, frozen = False, True
            case ThawJobs():
                assert frozen
                given_back, frozen = True, False
            case Nothing():
                continue
        # Never back sooner than the hold that was in force. (Thaw and lift may come together.)
        assert not given_back or at - last >= hold or at == last
        last, hold = at, state.hold
        assert headroom.SHORTEST_HOLD <= state.hold <= headroom.LONGEST_HOLD
    for action in end(machine.state):
        match action:
            case ThawJobs():
                frozen = False
            case LiftQuota():
                quota = None
    assert (quota, frozen) == (None, False)


@settings(max_examples=40, deadline=None)
@given(demand=st.floats(0.5, 2.0), gain=st.floats(8.0, 90.0))
def test_under_a_steady_load_it_settles(demand: float, gain: float) -> None:
    machine = Machine(hogs=lambda at: demand, gain=gain)
    machine.run(300)
    late = machine.run(600)
    possible = gain * FLOOR / 1e6 / 2 <= headroom.TARGET
    assert possible
    assert sum(pressure > headroom.TARGET for pressure in late) < 0.1 * len(late)
    changes = [at for at, action, _ in machine.log if not isinstance(action, Nothing) and at > 400]
    assert len(changes) < 600 / headroom.LONGEST_HOLD * 4
