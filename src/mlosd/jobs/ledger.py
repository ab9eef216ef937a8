"""What the machine has for jobs, and who holds it. Owns no job; knows counts, CPU numbers and GPU ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mlosd.jobs.job import Job
from mlosd.jobs.queue import Room, in_gib

ChooseCpus = Callable[[frozenset[int], int], tuple[int, ...] | None]
BusyGpus = Callable[[], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Capacity:
    """All that jobs may have: CPU numbers, bytes of memory, GPU ids in index order."""

    cpus: frozenset[int]
    memory: int
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """What one job holds. `cpus` is empty for a job that is not pinned."""

    slots: int
    memory: int
    cpus: tuple[int, ...]
    gpus: tuple[str, ...]


@dataclass(slots=True)
class Ledger:
    """Grants, by job. `choose_cpus` knows the topology; `busy_gpus` asks who else computes on them."""

    capacity: Capacity
    choose_cpus: ChooseCpus
    busy_gpus: BusyGpus
    _grants: dict[int, Grant] = field(default_factory=dict)

    def room(self) -> Room:
        """What is free now."""
        held = self._grants.values()
        return Room(
            cpus=len(self.capacity.cpus) - sum(grant.slots for grant in held),
            cpus_in_all=len(self.capacity.cpus),
            memory=self.capacity.memory - sum(grant.memory for grant in held),
            memory_in_all=self.capacity.memory,
            gpus=len(self._free_gpus()) if self.capacity.gpus else 0,
            gpus_in_all=len(self.capacity.gpus),
        )

    def grant(self, job: Job) -> Grant:
        """Give the job what it asks for; it must fit (`queue.shortage` is None)."""
        limits = job.request.limits
        pinned = frozenset(cpu for grant in self._grants.values() for cpu in grant.cpus)
        cpus = self.choose_cpus(self.capacity.cpus - pinned, limits.cpus) if limits.cpus else ()
        gpus = self._free_gpus()[: limits.gpus or 0] if limits.gpus else ()
        return self.hold(job, cpus=cpus or (), gpus=gpus)

    def hold(self, job: Job, *, cpus: Sequence[int], gpus: Sequence[str]) -> Grant:
        """Note what a job holds already, after a restart of the daemon."""
        grant = Grant(job.slots, job.request.limits.memory or 0, tuple(cpus), tuple(gpus))
        self._grants[job.id] = grant
        return grant

    def release(self, id_: int) -> None:
        """Take back what the job held, if anything."""
        self._grants.pop(id_, None)

    def never_fits(self, job: Job) -> str | None:
        """Why the job could not run here even alone; None when it could."""
        limits, capacity = job.request.limits, self.capacity
        if job.slots > len(capacity.cpus):
            return f"{job.slots} CPUs asked, this machine has {len(capacity.cpus)} for jobs"
        if (limits.memory or 0) > capacity.memory:
            return f"{in_gib(limits.memory or 0)} of memory asked, this machine has {in_gib(capacity.memory)} for jobs"
        if (limits.gpus or 0) > len(capacity.gpus):
            return f"{limits.gpus} GPUs asked, this machine has {len(capacity.gpus)}"
        return None

    def _free_gpus(self) -> tuple[str, ...]:
        held = {gpu for grant in self._grants.values() for gpu in grant.gpus}
        busy = self.busy_gpus()
        return tuple(gpu for gpu in self.capacity.gpus if gpu not in held and gpu not in busy)
