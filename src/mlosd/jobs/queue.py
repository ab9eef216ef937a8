"""Which job starts next, and why the others wait. Pure: values in, a decision out.

First come, first served within a priority. A job that does not fit holds back those behind it, so that a large job
is never starved by a stream of small ones.
"""

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlosd.jobs.job import Job


@dataclass(frozen=True, slots=True)
class Room:
    """What is free now, and what there is in all. Memory in bytes."""

    cpus: int
    cpus_in_all: int
    memory: int
    memory_in_all: int
    gpus: int
    gpus_in_all: int


def shortage(job: Job, room: Room) -> str | None:
    """Why the job does not fit into what is free; None when it fits."""
    limits = job.request.limits
    if job.slots > room.cpus:
        return f"waits for {_cpus(job.slots)}: {room.cpus_in_all - room.cpus} of {room.cpus_in_all} in use"
    if (limits.memory or 0) > room.memory:
        free = f"{in_gib(room.memory)} of {in_gib(room.memory_in_all)} free"
        return f"waits for {in_gib(limits.memory or 0)} of memory: {free}"
    if (limits.gpus or 0) > room.gpus:
        return f"waits for {limits.gpus} GPU: {room.gpus} of {room.gpus_in_all} free"
    return None


@dataclass(slots=True)
class Queue:
    """The jobs that wait, in the order in which they will start."""

    _order: list[tuple[int, int]] = field(default_factory=list)
    _jobs: dict[int, Job] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Job]:
        return (self._jobs[id_] for _, id_ in self._order)

    def add(self, job: Job) -> None:
        """Take a job in at its place: higher priority first, then the lower id."""
        insort(self._order, (-job.request.priority, job.id))
        self._jobs[job.id] = job

    def remove(self, id_: int) -> None:
        """Let go of a job. Raises KeyError when it does not wait here."""
        job = self._jobs.pop(id_)
        self._order.remove((-job.request.priority, id_))

    def discard(self, id_: int) -> None:
        """Let go of a job if it waits here."""
        if id_ in self._jobs:
            self.remove(id_)

    def next_job(self, room: Room) -> Job | None:
        """The head of the queue, if it fits."""
        if not self._order:
            return None
        head = self._jobs[self._order[0][1]]
        return head if shortage(head, room) is None else None

    def reason(self, id_: int, room: Room) -> str:
        """Why this job waits."""
        head = self._jobs[self._order[0][1]]
        if head.id == id_:
            return shortage(head, room) or "starts in a moment"
        return f"waits behind job {head.id}"


def _cpus(count: int) -> str:
    return "1 CPU" if count == 1 else f"{count} CPUs"


def in_gib(size: int) -> str:
    """A size as people say it."""
    return f"{size / (1 << 30):.1f} GiB"
