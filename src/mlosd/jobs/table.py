"""Every job that is not done: its state here, its row on the disk, and whoever waits for its next change.

Must not own: processes, capacity, or the decision what happens next.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing
from dataclasses import replace

from mlosd.core import events
from mlosd.core.errors import NotFound
from mlosd.jobs import records
from mlosd.jobs.changes import Changes
from mlosd.jobs.job import Job, Request, advance
from mlosd.jobs.logs import Logs
from mlosd.jobs.recorder import Recorder
from mlosd.jobs.state import Done, Held, Queued, Starting, State, Stopping, name, process
from mlosd.store.runs import Runs


class JobTable:
    """The jobs by id. `change` and `end` are the only ways in which a job's state moves on."""

    def __init__(self, runs: Runs, logs: Logs, emit: Callable[[events.Event], None]) -> None:
        self._runs = runs
        self._emit = emit
        self._changes = Changes()
        self._jobs: dict[int, Job] = {}
        self._recorder = Recorder(runs, logs, emit)
        self._ending: dict[int, asyncio.Future[None]] = {}

    async def insert(self, request: Request, notes: tuple[str, ...], check: Callable[[Job], None]) -> Job:
        """A new job, once it is durable. `check` may refuse it before anything is written."""
        job = Job(self._runs.new_id(), request, time.time(), Queued(), notes=notes)
        check(job)
        await self._recorder.insert(job)
        self._jobs[job.id] = job
        return job

    def restore(self) -> Iterator[tuple[Job, str]]:
        """Every job that an earlier daemon left unfinished, and the boot in which its row was written."""
        for row in self._runs.unfinished():
            job = self._jobs[row.id] = records.job(row)
            yield job, row.boot

    def pass_over(self, id_: int) -> None:
        """Give this id, and any before it, to no new job."""
        self._runs.pass_over(id_)

    def get(self, id_: int) -> Job:
        """A job that is not done, or whose end is just being recorded. Raises KeyError."""
        return self._jobs[id_]

    def look(self, id_: int) -> Job:
        """A job, finished or not. Raises NotFound."""
        if job := self._jobs.get(id_):
            return job
        if row := self._runs.get(id_):
            return records.job(row)
        raise NotFound(f"there is no job {id_} of yours", hint="mlosctl job list --all")

    def unfinished(self) -> list[Job]:
        """Every job that is not done, newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.id)

    def newest(self, *, limit: int) -> list[Job]:
        """The last jobs, finished ones too, newest first."""
        return [self._jobs.get(row.id) or records.job(row) for row in self._runs.newest(limit=limit)]

    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state that any unfinished job is in."""
        return dict(Counter(name(job.state) for job in self._jobs.values()))

    def amend(self, job: Job, **fields: object) -> Job:
        """The job with other `cpus`, `gpus` or `notes`; written with its next change."""
        job = self._jobs[job.id] = replace(job, **fields)  # type: ignore[arg-type]
        return job

    def launch(self, job: Job) -> Job:
        """The job, handed to the backend. Not recorded: the keeper's token is what tells after a crash."""
        job = self._jobs[job.id] = advance(job, Starting())
        return job

    def remember(self, job: Job) -> Awaitable[None]:
        """Record the job as it is, without telling anybody. Await it: then it is on the disk."""
        return asyncio.shield(self._recorder.save(job))

    def change(self, job: Job, state: State) -> Job:
        """The job in its next state: told at once, on the disk soon."""
        job = self._jobs[job.id] = advance(job, state)
        self._recorder.save(job)
        self.tell(job)
        return job

    def end(self, job: Job, done: Done) -> Coroutine[None, None, None]:
        """The job is over. Await what is returned: it tells of the end once that is on the disk."""
        job = self._jobs[job.id] = advance(job, done)
        recorded = self._ending[job.id] = self._recorder.save(job)

        async def tell_when_recorded() -> None:
            await asyncio.shield(recorded)
            self.tell(job)

        return tell_when_recorded()

    def forget(self, id_: int) -> None:
        """The job's end is recorded and nothing of it is left."""
        del self._jobs[id_], self._ending[id_]

    async def forget_oldest(self, *, keep: int) -> list[int]:
        """Delete the rows of all but the newest finished jobs; their ids."""
        return await self._runs.forget_oldest(keep=keep)

    async def follow(self, id_: int) -> AsyncGenerator[Job, None]:
        """The job now and after each change; DONE comes last, and only when it is on the disk."""
        async with aclosing(self._changes.follow(id_, self.look)) as changes:
            async for job in changes:
                if ending := self._ending.get(id_):
                    await asyncio.shield(ending)
                yield job

    async def started(self, id_: int) -> None:
        """Wait until the job has processes, or is done without."""
        async with aclosing(self._changes.follow(id_, self.look)) as changes:
            async for job in changes:
                if not isinstance(job.state, Held | Queued | Starting):
                    return

    async def settle(self) -> None:
        """Wait until every change so far is on the disk."""
        await self._recorder.settle()

    def tell(self, job: Job) -> None:
        """Those who wait for this job, and the log, hear of its state."""
        self._changes.tell(job.id)
        self._emit(events.JobChanged(str(job.id), name(job.state), _because(job.state), str(job.request.owner.uid)))


def _because(state: State) -> str:
    match state:
        case Held(reason) | Stopping(_, _, reason):
            return reason
        case Done(result, reason):
            return f"{result}: {reason}" if reason else result
        case _:
            running = process(state)
            return f"pid {running.pid}" if running else "waits"
