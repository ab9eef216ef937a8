"""Headroom: while training runs, everybody else is held back as far as training would wait for a CPU otherwise.

Pure: samples go in, actions come out; who calls reads the kernel and sets properties of units. What is measured is the
training cgroup's own `cpu.pressure` (accounting/psi), and it is to stay below a target. The mode's weights are the
first measure and always there. When they are not enough, background gets a quota (`CPUQuotaPerSecUSec`), computed from
what it really used; when the lowest quota is not enough either, our own low-priority jobs are frozen. Nobody else's
ever are.

What was taken is held for a while, and given back in steps while training waits for less than half the target. A breach
soon after something was given back doubles that hold; quiet times halve it (after Meta's "overload hold"). A training
that waits for its own threads is not helped by a quota: measures that change nothing are lifted, and rest.

While all is well nothing runs: `wakes` names the PSI trigger to sleep on, and no timer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

TARGET = 5.0
"""Per cent of time in which some thread of the training waits for a CPU."""
PERIOD = 1.0
REST_PERIOD = 5.0
SHORTEST_HOLD, LONGEST_HOLD = 2.0, 60.0
RESTS = 10  # times the hold
CUT, RAISE = 0.7, 1.5
FLOOR_US = 50_000
"""Background always keeps this much of each second of each CPU: 5 %."""
# Without CAP_SYS_RESOURCE a window has to be a multiple of this (kernel/sched/psi.c, psi_trigger_create). With it, a
# trigger fires at the next tenth of the window.
WINDOW_US = 2_000_000
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What the kernel counts, in microseconds since whenever, at `at` seconds of a clock that never goes back.

    `waited_us`: total of `some` in cpu.pressure. `training_us`, `background_us`: usage_usec of cpu.stat.
    `cpus`: how many background may run on. `can_freeze`: low-priority jobs of ours run.
    """

    at: float
    waited_us: int
    training_us: int
    background_us: int
    cpus: int
    can_freeze: bool = False


@dataclass(frozen=True, slots=True)
class SetQuota:
    """All background together gets this many microseconds of CPU time a second; `split` shares it among slices."""

    us_per_second: int
    reason: str


@dataclass(frozen=True, slots=True)
class LiftQuota:
    reason: str


@dataclass(frozen=True, slots=True)
class FreezeJobs:
    """Our own jobs of low priority; never a session of a user."""

    reason: str


@dataclass(frozen=True, slots=True)
class ThawJobs:
    reason: str


@dataclass(frozen=True, slots=True)
class Nothing:
    reason: str


Action = SetQuota | LiftQuota | FreezeJobs | ThawJobs | Nothing


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened between two samples: per cent of time, and microseconds of CPU time a second."""

    pressure: float
    training: float
    background: float


@dataclass(frozen=True, slots=True)
class State:
    """`until`: nothing is given back before. `began`: how it was when the first measure was taken.

    `given_back`: the last thing done was to give something back. `rests`: measures were of no use, until `until`.
    """

    last: Sample | None = None
    quota: int | None = None
    frozen: bool = False
    hold: float = SHORTEST_HOLD
    until: float = field(default=float("-inf"))
    began: Rates | None = None
    given_back: bool = False
    rests: bool = False

    @property
    def holds_something(self) -> bool:
        return self.quota is not None or self.frozen


@dataclass(frozen=True, slots=True)
class Wakes:
    """When to take the next sample: when this trigger of cpu.pressure fires, or after so many seconds. None: never."""

    trigger: str | None
    period: float | None


def wakes(state: State, *, target: float = TARGET) -> Wakes:
    """Asleep, only the trigger wakes; awake, only the clock."""
    if state.last is None:
        return Wakes(f"some {max(1, round(WINDOW_US * target / 100))} {WINDOW_US}", None)
    return Wakes(None, REST_PERIOD if state.rests else PERIOD)


def step(state: State, sample: Sample, *, target: float = TARGET) -> tuple[State, tuple[Action, ...]]:
    """What to do now, and the state to give to the next step."""
    rates = None if state.last is None else _rates(state.last, sample)
    if rates is None:
        return replace(state, last=sample), (Nothing("begins to look"),)
    if state.last is not None and sample.at - state.last.at < PERIOD / 2:
        return state, (Nothing("looked a moment ago"),)
    state = replace(state, last=sample)
    if state.rests:
        return _rest(state, sample, rates)
    if rates.pressure > target:
        return _take(state, sample, rates, target)
    if not state.holds_something:
        # Back to sleep: the trigger fires again if it was not over.
        return replace(state, last=None, began=None), (Nothing(_waits(rates)),)
    if sample.at < state.until:
        return state, (Nothing(f"{_waits(rates)}; held for {state.until - sample.at:.0f} s more"),)
    if rates.pressure >= target / 2 and (state.frozen or _binds(state, rates)):
        return state, (Nothing(f"{_waits(rates)}, within {target:g} %"),)
    return _give_back(state, sample, rates)


def end(state: State, reason: str = "training ended") -> tuple[Action, ...]:
    """Give everything back."""
    thaw = (ThawJobs(reason),) if state.frozen else ()
    return (*thaw, LiftQuota(reason)) if state.quota is not None else thaw


def split(us_per_second: int, used: Mapping[str, float]) -> dict[str, int]:
    """A quota, shared among slices as they used the CPUs; none gets less than the floor of one CPU."""
    total = sum(used.values())
    share = {slice_: (use / total if total > 0 else 1 / len(used)) for slice_, use in used.items()}
    return {slice_: max(FLOOR_US, round(us_per_second * part)) for slice_, part in share.items()}


def _rates(before: Sample, now: Sample) -> Rates | None:
    """None where the counters began anew: a cgroup was made again."""
    seconds = now.at - before.at
    waited, training, background = (
        now.waited_us - before.waited_us,
        now.training_us - before.training_us,
        now.background_us - before.background_us,
    )
    if seconds < 0 or min(waited, training, background) < 0:
        return None
    per_second = 1 / max(seconds, 1e-3)
    return Rates(100 * waited * per_second / _SECOND_US, training * per_second, background * per_second)


def _take(state: State, sample: Sample, rates: Rates, target: float) -> tuple[State, tuple[Action, ...]]:
    """The next measure, in their order."""
    hold = _hold(state, sample.at)
    began = state.began or rates
    held = replace(state, hold=hold, until=sample.at + hold, began=began, given_back=False)
    why = f"{_waits(rates)}, more than {target:g} %"
    floor = FLOOR_US * sample.cpus
    if rates.background > floor and (state.quota is None or state.quota > floor):
        quota = max(floor, round(CUT * min(rates.background, state.quota or rates.background)))
        return replace(held, quota=quota), (SetQuota(quota, why),)
    if sample.can_freeze and not state.frozen:
        return replace(held, frozen=True), (FreezeJobs(why),)
    if state.holds_something and _helped(began, rates):
        return held, (Nothing(f"{why}; all that may be done is done"),)
    if state.holds_something and sample.at < state.until:
        return state, (Nothing(f"{why}; all that may be done was done a moment ago"),)
    rest = replace(held, quota=None, frozen=False, rests=True, until=sample.at + RESTS * hold)
    reason = f"{why}, and not because of others"
    return rest, (end(state, reason) or (Nothing(reason),))


def _hold(state: State, at: float) -> float:
    """Longer when what was given back had to be taken again at once; shorter the longer it went well."""
    since = at - state.until
    if state.given_back and since <= state.hold:
        return min(LONGEST_HOLD, 2 * state.hold)
    if since <= 0:
        return state.hold
    halvings = int(min(since / state.hold, 10))
    return max(SHORTEST_HOLD, state.hold / (1 << halvings))


def _helped(began: Rates, now: Rates) -> bool:
    """Whether training waits clearly less, or gets clearly more done, than before the first measure."""
    return now.pressure < 0.8 * began.pressure or now.training > 1.05 * began.training


def _give_back(state: State, sample: Sample, rates: Rates) -> tuple[State, tuple[Action, ...]]:
    """One step, the last measure first."""
    why = _waits(rates)
    held = replace(state, until=sample.at + state.hold, given_back=True)
    if state.frozen or state.quota is None:
        return replace(held, frozen=False), (ThawJobs(why),)
    more = round(RAISE * state.quota)
    if not _binds(state, rates) or more >= sample.cpus * _SECOND_US:
        return replace(held, quota=None), (LiftQuota(why),)
    return replace(held, quota=more), (SetQuota(more, why),)


def _binds(state: State, rates: Rates) -> bool:
    """Whether the quota is what holds background back."""
    return state.quota is not None and rates.background > 0.9 * state.quota


def _rest(state: State, sample: Sample, rates: Rates) -> tuple[State, tuple[Action, ...]]:
    """Until the time is over, or background does so much more than it did that it may be the cause now."""
    began = state.began.background if state.began else 0.0
    if sample.at < state.until and rates.background < 1.5 * began + FLOOR_US * sample.cpus:
        return state, (Nothing("rests: what may be done changed nothing"),)
    return replace(state, rests=False, last=None, began=None, given_back=True), (Nothing("looks again"),)


def _waits(rates: Rates) -> str:
    return f"training waits {rates.pressure:.1f} % of the time"
