"""What the machine has is handed out once, and what it does not have is never promised."""

import pytest
from tests.fakes.jobs import job

from mlosd.jobs.job import Limits
from mlosd.jobs.ledger import Capacity, Ledger

GIB = 1 << 30


def ledger(*, busy: frozenset[str] = frozenset()) -> Ledger:
    def choose(free: frozenset[int], count: int) -> tuple[int, ...] | None:
        return tuple(sorted(free))[:count] if len(free) >= count else None

    return Ledger(Capacity(frozenset({0, 1, 2, 3}), 8 * GIB, ("gpu-a", "gpu-b")), choose, lambda: busy)


def test_a_pinned_cpu_belongs_to_one_job_until_that_ends() -> None:
    book = ledger()
    first = book.grant(job(1, limits=Limits(cpus=2)))
    second = book.grant(job(2, limits=Limits(cpus=2)))
    assert set(first.cpus) | set(second.cpus) == {0, 1, 2, 3}
    assert book.room().cpus == 0
    book.release(1)
    assert book.grant(job(3, limits=Limits(cpus=2))).cpus == first.cpus


def test_a_job_that_asks_for_no_cpus_counts_as_one_and_is_not_pinned() -> None:
    book = ledger()
    assert book.grant(job(1)).cpus == ()
    assert book.room().cpus == 3


def test_a_gpu_is_never_handed_out_twice() -> None:
    book = ledger()
    one = book.grant(job(1, limits=Limits(gpus=1)))
    other = book.grant(job(2, limits=Limits(gpus=1)))
    assert {*one.gpus, *other.gpus} == {"gpu-a", "gpu-b"}
    assert book.room().gpus == 0
    book.release(1)
    assert book.room().gpus == 1


def test_a_gpu_that_somebody_else_computes_on_is_not_handed_out() -> None:
    book = ledger(busy=frozenset({"gpu-a"}))
    assert book.room().gpus == 1
    assert book.grant(job(1, limits=Limits(gpus=1))).gpus == ("gpu-b",)


def test_what_a_job_held_before_a_restart_stays_its_own() -> None:
    book = ledger()
    book.hold(job(1, limits=Limits(cpus=2, memory=GIB, gpus=1)), cpus=(1, 3), gpus=("gpu-b",))
    assert book.room().cpus == 2
    assert book.room().memory == 7 * GIB
    assert book.grant(job(2, limits=Limits(cpus=2, gpus=1))).cpus == (0, 2)
    assert book.room().gpus == 0


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(cpus=4, memory=8 * GIB, gpus=2), None),
        (Limits(cpus=5), "5 CPUs asked, this machine has 4 for jobs"),
        (Limits(memory=10 * GIB), "10.0 GiB of memory asked, this machine has 8.0 GiB for jobs"),
        (Limits(gpus=3), "3 GPUs asked, this machine has 2"),
    ],
)
def test_what_can_never_fit_is_said_with_the_numbers(limits: Limits, reason: str | None) -> None:
    assert ledger().never_fits(job(1, limits=limits)) == reason
