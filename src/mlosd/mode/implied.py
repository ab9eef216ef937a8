"""Jobs that ask for the mode by their class. Hears of jobs by their events; must not own: any job.

A job has to run for a moment first (`mode_after` of its class): a burst of short jobs must not switch the machine
to and fro. A frozen job holds nothing.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass

from mlosd.core import events
from mlosd.core.errors import MlosError
from mlosd.mode.lease import Lease
from mlosd.mode.profile import Profiles
from mlosd.mode.service import ModeService


@dataclass(frozen=True, slots=True)
class Training:
    """A job that runs, as the mode knows it. `profile` None: its class asks for nothing. `age`: seconds it has run."""

    id: int
    name: str
    owner: int
    user: str
    profile: str | None
    after: float
    age: float
    cpus: tuple[int, ...]
    gpus: tuple[str, ...]
    memory: int | None
    cgroup: str | None
    pid: int
    starttime: int | None


class Implied:
    """`find(id)`: a job that has processes and is not frozen, or None. `note(id, text)`: tell its owner."""

    def __init__(
        self,
        service: ModeService,
        profiles: Profiles,
        *,
        find: Callable[[int], Training | None],
        note: Callable[[int, str], None],
    ) -> None:
        self._service = service
        self._profiles = profiles
        self._find = find
        self._note = note
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = False

    async def open(self, unfinished: Iterable[int]) -> None:
        """Take up the leases of jobs that are not done, and wait for those that have only begun."""
        if self._service.why_not:
            return
        ids = frozenset(unfinished)
        await self._service.open(ids.__contains__)
        self._is_open = True
        for id_ in ids:
            self._begin(id_)

    def close(self) -> None:
        self._is_open = False
        for timer in self._timers.values():
            timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()

    def heard(self, event: events.Event) -> None:
        """A job moved on."""
        if self._is_open and isinstance(event, events.JobChanged):
            id_ = int(event.job)
            if event.state == "RUNNING":
                self._begin(id_)
            elif event.state == "FROZEN":
                self._end(id_, "its job is frozen", only_implied=True)
            elif event.state == "DONE":
                self._end(id_, "its job ended")

    def _begin(self, id_: int) -> None:
        job = self._find(id_)
        if job and job.profile and id_ not in self._timers and not self._leases(id_, only_implied=True):
            left = max(0.0, job.after - job.age)
            self._timers[id_] = asyncio.get_running_loop().call_later(left, self._ripe, id_)

    def _ripe(self, id_: int) -> None:
        del self._timers[id_]
        if job := self._find(id_):
            self._spawn(self._enter(job))

    async def _enter(self, job: Training) -> None:
        try:
            await self._service.enter(self.lease(job))
        except (MlosError, OSError) as e:
            self._note(job.id, f"no ML mode: {e}")

    def lease(self, job: Training) -> Lease:
        """What a job of its class asks for. Raises NotFound, BadConfig."""
        profile = self._profiles.find(job.profile or "")
        asked = {name: setting for name, setting in profile.settings.items() if name not in profile.opt_in}
        return Lease(
            id=self._service.new_id(),
            who=f"job {job.id} ({job.name}) of {job.user}",
            owner=job.owner,
            profile=profile.name,
            settings=asked,
            headroom=profile.headroom,
            cpus=job.cpus,
            cgroup=job.cgroup,
            memory=job.memory,
            gpus=job.gpus,
            job=job.id,
            pid=job.pid,
            starttime=job.starttime,
            since=time.time(),
            implied=True,
        )

    def _end(self, id_: int, why: str, *, only_implied: bool = False) -> None:
        if timer := self._timers.pop(id_, None):
            timer.cancel()
        for lease in self._leases(id_, only_implied=only_implied):
            self._service.ended(lease.id, why)

    def _leases(self, id_: int, *, only_implied: bool) -> list[Lease]:
        every = self._service.leases.values()
        return [lease for lease in every if lease.job == id_ and (lease.implied or not only_implied)]

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
