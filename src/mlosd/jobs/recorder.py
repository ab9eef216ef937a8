"""Makes rows say what jobs are: the newest state of each, many at a time, again and again until the disk takes them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Generic, TypeVar

from mlosd.core import events
from mlosd.core.errors import Refused
from mlosd.jobs import records
from mlosd.jobs.job import Job
from mlosd.jobs.logs import Logs
from mlosd.jobs.state import name
from mlosd.store.runs import Runs

RETRY_AFTER = 2.0
K = TypeVar("K")
V = TypeVar("V")


class Batch(Generic[K, V]):
    """Items that will be written together, and the future of all who wait for that."""

    def __init__(self) -> None:
        self.items: dict[K, V] = {}
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Recorder:
    """What is noted while a write is under way goes into the next one, so that an fsync serves many jobs."""

    def __init__(self, runs: Runs, logs: Logs, emit: Callable[[events.Event], None]) -> None:
        self._runs = runs
        self._logs = logs
        self._emit = emit
        self._inserts: Batch[int, Job] | None = None
        self._saves: Batch[int, Job] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._saving = False

    async def insert(self, job: Job) -> None:
        """Add the row and the output file of a new job; returns when it is durable. Raises Refused on a full disk."""
        if self._inserts is None:
            self._inserts = Batch()
            asyncio.get_running_loop().call_soon(self._flush_inserts)
        batch = self._inserts
        batch.items[job.id] = job
        await asyncio.shield(batch.written)

    def save(self, job: Job) -> asyncio.Future[None]:
        """Note the state of a job. Done when this state, or a later one of the same job, is durable."""
        if self._saves is None:
            self._saves = Batch()
        self._saves.items[job.id] = job
        written = self._saves.written
        if not self._saving:
            self._saving = True
            self._spawn(self._save_all())
        return written

    async def settle(self) -> None:
        """Wait until all that was noted is durable."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _flush_inserts(self) -> None:
        batch, self._inserts = self._inserts, None
        if batch is not None:
            self._spawn(self._insert(batch))

    async def _insert(self, batch: Batch[int, Job]) -> None:
        queued = [job.id for job in batch.items.values() if not job.request.foreground]
        try:
            rows = [records.new_row(job) for job in batch.items.values()]
            await self._runs.insert(rows, first=lambda: self._logs.create(queued))
        except Refused as e:
            batch.written.set_exception(e)
        except OSError as e:
            batch.written.set_exception(Refused(f"{e.filename}: {e.strerror}", hint="free some space, then ask again"))
        else:
            batch.written.set_result(None)

    async def _save_all(self) -> None:
        while self._saves is not None:
            batch, self._saves = self._saves, None
            await self._save(list(batch.items.values()))
            batch.written.set_result(None)
        self._saving = False

    async def _save(self, jobs: Sequence[Job]) -> None:
        """On a full disk keep trying: meanwhile the keepers' own files say it."""
        while True:
            try:
                await self._runs.save([records.changed_row(job) for job in jobs])
            except Refused as e:
                what = ", ".join(f"job {job.id} is {name(job.state)}" for job in jobs[:3])
                self._emit(events.Failed(f"{what}: could not be recorded", str(e)))
                await asyncio.sleep(RETRY_AFTER)
            else:
                return

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
