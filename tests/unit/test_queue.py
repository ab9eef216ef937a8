"""The queue decides by values alone, so its tests are tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.jobs import job

from mlosd.jobs.job import Limits
from mlosd.jobs.queue import Queue, Room, shortage

GIB = 1 << 30
ROOM = Room(cpus=2, cpus_in_all=4, memory=2 * GIB, memory_in_all=8 * GIB, gpus=1, gpus_in_all=2)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(), None),
        (Limits(cpus=2, memory=2 * GIB, gpus=1), None),
        (Limits(cpus=3), "waits for 3 CPUs: 2 of 4 in use"),
        (Limits(memory=3 * GIB), "waits for 3.0 GiB of memory: 2.0 GiB of 8.0 GiB free"),
        (Limits(gpus=2), "waits for 2 GPU: 1 of 2 free"),
    ],
)
def test_what_does_not_fit_waits_with_the_numbers(limits: Limits, reason: str | None) -> None:
    assert shortage(job(1, limits=limits), ROOM) == reason


def test_an_older_job_goes_first_and_a_higher_priority_before_it() -> None:
    queue = Queue()
    for waiting in (job(2), job(1), job(3, priority=5)):
        queue.add(waiting)
    order = []
    while head := queue.next_job(ROOM):
        order.append(head.id)
        queue.remove(head.id)
    assert order == [3, 1, 2]


def test_a_large_job_at_the_head_is_not_overtaken_by_small_ones() -> None:
    queue = Queue()
    queue.add(job(1, limits=Limits(cpus=4)))
    queue.add(job(2))
    assert queue.next_job(ROOM) is None
    assert queue.reason(1, ROOM) == "waits for 4 CPUs: 2 of 4 in use"
    assert queue.reason(2, ROOM) == "waits behind job 1"


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(-3, 3)), unique_by=lambda pair: pair[0]))
def test_the_queue_gives_back_every_job_once_in_order(pairs: list[tuple[int, int]]) -> None:
    queue = Queue()
    for id_, priority in pairs:
        queue.add(job(id_, priority=priority))
    order = []
    while head := queue.next_job(ROOM):
        order.append((-head.request.priority, head.id))
        queue.discard(head.id)
        queue.discard(head.id)
    assert order == sorted((-priority, id_) for id_, priority in pairs)
    assert len(queue) == 0
