"""The states of a job, as values. A state carries its own data: Running has a pid, Queued cannot.

The names and reason codes follow Slurm's, which people know. PREEMPTED waits for the scheduler of periods.
"""

from dataclasses import dataclass
from typing import Literal

from mlosd.jobs.backend import Usage

Result = Literal["ok", "failed", "oom", "timeout", "killed", "lost"]


@dataclass(frozen=True, slots=True)
class Held:
    """Waits until somebody releases it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Queued:
    """Waits for room."""


@dataclass(frozen=True, slots=True)
class Starting:
    """Handed to the backend; its at-most-once token may exist."""


@dataclass(frozen=True, slots=True)
class Running:
    """Has a keeper, a main process, and a cgroup where there are cgroups."""

    keeper: int
    pid: int
    cgroup: str | None
    started_at: float


@dataclass(frozen=True, slots=True)
class Frozen:
    """All its processes are stopped where they are."""

    was: Running


@dataclass(frozen=True, slots=True)
class Preempted:
    """Stopped in favour of another job; will be queued again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """Has been told to end. `result` is what it will be called when it obeys, `reason` says who asked."""

    was: Running
    result: Result
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """Over. `exit_code` or `signal` where the command ran and somebody saw its end."""

    result: Result
    reason: str | None
    exit_code: int | None
    signal: int | None
    started_at: float | None
    ended_at: float
    usage: Usage | None


State = Held | Queued | Starting | Running | Frozen | Preempted | Stopping | Done

NAMES: dict[type, str] = {
    Held: "HELD",
    Queued: "QUEUED",
    Starting: "STARTING",
    Running: "RUNNING",
    Frozen: "FROZEN",
    Preempted: "PREEMPTED",
    Stopping: "STOPPING",
    Done: "DONE",
}

LEGAL: dict[type, frozenset[type]] = {
    Held: frozenset({Queued, Done}),
    Queued: frozenset({Held, Starting, Done}),
    Starting: frozenset({Running, Queued, Done}),
    Running: frozenset({Frozen, Stopping, Preempted, Done}),
    Frozen: frozenset({Running, Stopping, Done}),
    Preempted: frozenset({Queued, Held, Done}),
    Stopping: frozenset({Stopping, Done}),
    Done: frozenset(),
}


def name(state: State) -> str:
    """What people and the wire call it."""
    return NAMES[type(state)]


def process(state: State) -> Running | None:
    """The live part of a state that has processes."""
    match state:
        case Running():
            return state
        case Frozen(was) | Stopping(was, _, _):
            return was
        case _:
            return None
