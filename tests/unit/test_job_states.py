"""A job only ever moves along the legal transitions, and its row tells the same story after a restart."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.jobs import job

from mlosd.jobs import records
from mlosd.jobs.backend import Ended, Usage
from mlosd.jobs.job import IllegalChange, Job, Limits, advance
from mlosd.jobs.outcome import outcome
from mlosd.jobs.state import (
    LEGAL,
    Done,
    Frozen,
    Held,
    Preempted,
    Queued,
    Running,
    Starting,
    State,
    Stopping,
    name,
)

RUNNING = Running(keeper=10, pid=11, cgroup="/sys/fs/cgroup/x", started_at=100.0)
STATES: list[State] = [
    Held("asked"),
    Queued(),
    Starting(),
    RUNNING,
    Frozen(RUNNING),
    Preempted("peak"),
    Stopping(RUNNING, "killed", "cancelled by ann"),
    Done("ok", None, 0, None, 100.0, 101.0, Usage(cpu_us=5)),
]


@given(st.lists(st.sampled_from(STATES), max_size=20))
def test_every_walk_follows_the_table_and_stops_at_done(wanted: list[State]) -> None:
    here = job(1)
    for state in wanted:
        if type(state) in LEGAL[type(here.state)]:
            here = advance(here, state)
        else:
            with pytest.raises(IllegalChange):
                advance(here, state)
    assert name(here.state) in {"HELD", "QUEUED", "STARTING", "RUNNING", "FROZEN", "PREEMPTED", "STOPPING", "DONE"}


def test_every_state_but_done_can_end_and_done_is_final() -> None:
    assert LEGAL[Done] == frozenset()
    assert all(Done in LEGAL[type(state)] for state in STATES if not isinstance(state, Done))


@pytest.mark.parametrize("state", STATES, ids=name)
def test_a_row_gives_back_the_job_that_made_it(state: State) -> None:
    before = Job(7, job(7, limits=Limits(cpus=2, time=60)).request, time.time(), state, cpus=(0, 1), notes=("a",))
    assert records.job(records.new_row(before)) == before


@pytest.mark.parametrize(
    ("state", "ended", "result", "reason"),
    [
        (RUNNING, Ended(0, None, Usage(), 200.0), "ok", None),
        (RUNNING, Ended(3, None, Usage(), 200.0), "failed", "exit code 3"),
        (RUNNING, Ended(None, 11, Usage(), 200.0), "failed", "ended by SIGSEGV"),
        (RUNNING, Ended(None, 9, Usage(oom_kills=1), 200.0), "oom", "out of memory: the kernel killed it"),
        # A helper process was killed, and the program coped.
        (RUNNING, Ended(0, None, Usage(oom_kills=1), 200.0), "ok", None),
        (Starting(), Ended(None, None, Usage(), 200.0, "exec: no"), "failed", "exec: no"),
        (
            Stopping(RUNNING, "timeout", "its time is over"),
            Ended(0, None, Usage(), 200.0),
            "timeout",
            "its time is over; exited with 0 in the grace period",
        ),
        (
            Stopping(RUNNING, "killed", "cancelled by ann"),
            Ended(None, 9, Usage(), 200.0),
            "killed",
            "cancelled by ann; killed after the grace period",
        ),
        (Stopping(RUNNING, "killed", "cancelled"), Ended(None, 15, Usage(), 200.0), "killed", "cancelled"),
    ],
)
def test_the_end_of_a_job_is_called_by_its_cause(state: State, ended: Ended, result: str, reason: str | None) -> None:
    done = outcome(Job(1, job(1).request, 0.0, state), ended)
    assert (done.result, done.reason) == (result, reason)


def test_a_clock_that_was_set_back_does_not_end_a_job_before_it_began() -> None:
    done = outcome(Job(1, job(1).request, 0.0, RUNNING), Ended(0, None, Usage(), 50.0))
    assert done.ended_at == 100.0
