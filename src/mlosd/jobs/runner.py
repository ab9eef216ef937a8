"""Start what the queue allows, notice how it ends, record both. Owns every unfinished job.

Must not own: how a job is started (the backend), which is next (the queue), what is free (the ledger).

A job runs at most once although the daemon may die at any moment: the keeper makes the job's token (O_EXCL) before it
starts the command, and what is left of a job is removed only when its end is on the disk.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace

from mlosd.core import events, ids
from mlosd.core.errors import NotFound, Refused
from mlosd.jobs import records
from mlosd.jobs.backend import AlreadyStarted, Backend, Launch, LaunchFailed, Started
from mlosd.jobs.changes import Changes
from mlosd.jobs.job import Job, Request, advance
from mlosd.jobs.keepers import Keepers
from mlosd.jobs.ledger import Ledger
from mlosd.jobs.logs import Logs
from mlosd.jobs.outcome import failed_launch, lost, never_started, outcome
from mlosd.jobs.queue import Queue
from mlosd.jobs.state import Done, Frozen, Held, Queued, Result, Running, Starting, State, Stopping, name, process
from mlosd.store.runs import Runs

RETRY_AFTER = 2.0
LAST_WORDS = 3.0
PRUNE_EVERY = 1000
Stdio = tuple[int, int, int]


class Runner:
    """All jobs that are not done."""

    def __init__(
        self,
        *,
        backend: Backend,
        keepers: Keepers,
        runs: Runs,
        ledger: Ledger,
        logs: Logs,
        emit: Callable[[events.Event], None],
        keep_finished: int,
    ) -> None:
        self.backend = backend
        self.ledger = ledger
        self.logs = logs
        self.changes = Changes()
        self._keepers = keepers
        self._runs = runs
        self._emit = emit
        self._keep_finished = keep_finished
        self._closing = False
        self._queue = Queue()
        self._jobs: dict[int, Job] = {}
        self._stdio: dict[int, Stdio] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: dict[int, asyncio.Task[None]] = {}
        self._deadlines: dict[int, asyncio.TimerHandle] = {}

    async def open(self) -> None:
        """Connect the backend and find every job that an earlier daemon left."""
        await self.backend.open()
        for reason in self.backend.degraded():
            self._emit(events.Degraded(reason))
        await self.adopt()
        await self._forget_oldest()

    async def close(self) -> None:
        """Let go: jobs and their keepers stay."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.backend.close()

    # --- what people ask for ---

    async def submit(self, request: Request, *, notes: tuple[str, ...], stdio: Stdio | None = None) -> Job:
        """Queue a job; returns when it is durable. Takes over `stdio`. Raises Refused for what can never run here."""
        job = Job(self._runs.new_id(), request, time.time(), Queued(), notes=notes)
        if reason := self.ledger.never_fits(job):
            _close(stdio)
            raise Refused(reason, hint="ask for less; `mlosctl status` shows what there is")
        try:
            await self._runs.insert(records.new_row(job))
        except BaseException:
            _close(stdio)
            raise
        self._jobs[job.id] = job
        if stdio:
            self._stdio[job.id] = stdio
        self._queue.add(job)
        self.schedule()
        return self._jobs.get(job.id, job)

    def look(self, id_: int) -> Job:
        """A job, finished or not. Raises NotFound."""
        if job := self._jobs.get(id_):
            return job
        if row := self._runs.get(id_):
            return records.job(row)
        raise NotFound(f"there is no job {id_}", hint="mlosctl job list --all")

    async def follow(self, id_: int) -> AsyncIterator[Job]:
        """The job now and after each change; DONE comes last, and only when it is on the disk."""
        async with aclosing(self.changes.follow(id_, self.look)) as changes:
            async for job in changes:
                if ending := self._ending.get(id_):
                    await asyncio.shield(ending)
                yield job

    async def started(self, id_: int) -> None:
        """Wait until the job has processes, or is done without."""
        async with aclosing(self.changes.follow(id_, self.look)) as changes:
            async for job in changes:
                if not isinstance(job.state, Held | Queued | Starting):
                    return

    def unfinished(self) -> list[Job]:
        """Every job that is not done, newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.id)

    def newest(self, *, limit: int) -> list[Job]:
        """The last jobs, finished ones too, newest first."""
        return [self._jobs.get(row.id) or records.job(row) for row in self._runs.newest(limit=limit)]

    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state that any job is in."""
        return dict(Counter(name(job.state) for job in self._jobs.values()))

    def reason(self, job: Job) -> str | None:
        """Why the job is where it is."""
        match job.state:
            case Queued():
                return self._queue.reason(job.id, self.ledger.room())
            case Held(reason) | Stopping(_, _, reason) | Done(_, reason):
                return reason
            case _:
                return None

    def cancel(self, id_: int, *, reason: str, result: Result = "killed") -> Job:
        """End a job: SIGTERM and its grace period; at once when it was asked before. What is done stays done."""
        job = self.look(id_)
        match job.state:
            case Held() | Queued():
                return self._finish(job, never_started(reason))
            case Running() as running:
                return self._stop(job, running, result, reason)
            case Frozen(running):
                self._keepers.thaw(running)
                return self._stop(job, running, result, reason)
            case Stopping(running):
                self._keepers.kill(running)
                return job
            case Starting():
                self._after_start(id_, lambda: self.cancel(id_, reason=reason, result=result))
                return job
            case _:
                return job

    def freeze(self, id_: int) -> Job:
        """Stop a job where it is; one that waits is held. Raises Refused where that makes no sense."""
        job = self.look(id_)
        match job.state:
            case Running() as running:
                self._keepers.freeze(running)
                return self._change(job, Frozen(running))
            case Queued():
                self._queue.remove(id_)
                return self._change(job, Held("held by its owner"))
            case Frozen() | Held():
                return job
            case _:
                raise Refused(f"job {id_} is {name(job.state)}", hint="only a job that runs or waits can be frozen")

    def thaw(self, id_: int) -> Job:
        """Let a frozen job go on, or a held one queue again."""
        job = self.look(id_)
        match job.state:
            case Frozen(running):
                self._keepers.thaw(running)
                return self._change(job, running)
            case Held():
                self._queue.add(advance(job, Queued()))
                self._change(job, Queued())
                self.schedule()
                return self._jobs[id_]
            case Running() | Queued():
                return job
            case _:
                raise Refused(f"job {id_} is {name(job.state)}", hint="only a frozen or held job can be thawed")

    def signal(self, id_: int, number: signal.Signals) -> None:
        """Send a signal to the job's main process and its process group."""
        running = process(self.look(id_).state)
        if running is None:
            raise Refused(f"job {id_} has no processes", hint=f"mlosctl job show {id_}")
        self._keepers.signal(running, number)

    # --- the machinery ---

    def schedule(self) -> None:
        """Start every job that fits now, in the order of the queue."""
        while not self._closing and (job := self._queue.next_job(self.ledger.room())):
            self._queue.remove(job.id)
            grant = self.ledger.grant(job)
            job = self._jobs[job.id] = replace(advance(job, Starting()), cpus=grant.cpus, gpus=grant.gpus)
            self._spawn(self._start(job))

    async def _start(self, job: Job) -> None:
        try:
            stdio = self._stdio.pop(job.id, None) or self._log(job)
        except OSError as e:
            self._finish(job, failed_launch(LaunchFailed("open the output file", e.errno or 0)))
            return
        try:
            started = await self.backend.start(_launch(job, stdio))
        except LaunchFailed as e:
            self._finish(job, failed_launch(e))
        except AlreadyStarted:
            await self._find(job, boot=ids.boot_id())
        else:
            self.watch(self._started(job, started))
        finally:
            _close(stdio)

    def _log(self, job: Job) -> Stdio:
        output = self.logs.create(job.id)
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), output, os.dup(output)

    def _started(self, job: Job, started: Started) -> Job:
        cgroup = str(started.cgroup) if started.cgroup else None
        job = self._jobs[job.id] = replace(job, notes=(*job.notes, *started.notes))
        return self._change(job, Running(started.keeper, started.pid, cgroup, started.at))

    def watch(self, job: Job) -> None:
        """Notice the end of a job that runs, and the end of its time."""
        running = process(job.state)
        assert running is not None
        self._keepers.watch(running.keeper, lambda: self._ended(job.id))
        if job.request.limits.time is not None:
            left = job.request.limits.time - self._keepers.age(running)
            self._deadlines[job.id] = asyncio.get_running_loop().call_later(max(0.0, left), self._out_of_time, job.id)

    def _ended(self, id_: int) -> None:
        job = self._jobs[id_]
        ended = self._keepers.end(id_)
        if ended is None:
            self._finish(job, lost(job, "its keeper was killed; nobody saw the end"))
        else:
            self._finish(replace(job, notes=(*job.notes, *ended.notes)), outcome(job, ended))

    def _out_of_time(self, id_: int) -> None:
        limit = self._jobs[id_].request.limits.time
        self.cancel(id_, reason=f"its time of {limit} s is over", result="timeout")

    def _stop(self, job: Job, running: Running, result: Result, reason: str) -> Job:
        job = self._change(job, Stopping(running, result, reason))
        self._keepers.stop(running)
        return job

    def _change(self, job: Job, state: State) -> Job:
        """The job in its next state: recorded, told, logged."""
        job = self._jobs[job.id] = advance(job, state)
        self._spawn(self._record(job))
        self._tell(job)
        return job

    def _finish(self, job: Job, done: Done) -> Job:
        """The job is over: give back what it held, record the end, then remove what is left of it."""
        self._queue.discard(job.id)
        _close(self._stdio.pop(job.id, None))
        if deadline := self._deadlines.pop(job.id, None):
            deadline.cancel()
        job = self._jobs[job.id] = advance(job, done)
        self.ledger.release(job.id)
        self._ending[job.id] = self._spawn(self._record(job))
        self._spawn(self._after_end(job))
        self.schedule()
        return job

    async def _record(self, job: Job) -> None:
        """Make the row say what is; on a full disk, keep trying: the job's own files say it meanwhile."""
        while self._jobs.get(job.id) is job:
            try:
                await self._runs.save(records.changed_row(job))
            except Refused as e:
                self._emit(events.Failed(f"job {job.id} is {name(job.state)}, which could not be recorded", str(e)))
                await asyncio.sleep(RETRY_AFTER)
            else:
                return

    async def _after_end(self, job: Job) -> None:
        """Once the end is on the disk, and not before: tell it, and remove what is left of the job."""
        await self._ending[job.id]
        self._tell(job)
        self.logs.wake(job.id)
        await self.backend.forget(job.id)
        del self._jobs[job.id], self._ending[job.id]
        if job.id % PRUNE_EVERY == 0:
            await self._forget_oldest()

    def _tell(self, job: Job) -> None:
        self.changes.tell(job.id)
        reason = self.reason(job) or (job.state.result if isinstance(job.state, Done) else "")
        self._emit(events.JobChanged(str(job.id), name(job.state), reason, str(job.request.owner.uid)))

    # --- after a restart ---

    async def adopt(self) -> None:
        """Find every job that an earlier daemon left: those that run, those that ended meanwhile, those that wait."""
        for row in self._runs.unfinished():
            job = records.job(row)
            self._jobs[job.id] = job
            if process(job.state) or self._keepers.token(job.id):
                self.ledger.hold(job, cpus=job.cpus, gpus=job.gpus)
                await self._find(job, boot=row.boot)
            elif isinstance(job.state, Held):
                continue
            elif job.request.foreground:
                self._finish(job, never_started("the daemon stopped before it could start"))
            else:
                self._jobs[job.id] = job = job if isinstance(job.state, Queued) else advance(job, Queued())
                self._queue.add(job)
        self.schedule()

    async def _find(self, job: Job, *, boot: str) -> None:
        """A job whose token exists: it runs, or it ended, or it is lost."""
        found = await self._keepers.find(job.id)
        if process(job.state) is None:
            if isinstance(job.state, Queued):
                job = self._jobs[job.id] = advance(job, Starting())
            if isinstance(found, Started):
                job = self._started(job, found)
        self._emit(events.JobAdopted(str(job.id), name(job.state)))
        if isinstance(found, Started):
            self.watch(job)
        elif found is None:
            restarted = boot != ids.boot_id()
            self._finish(job, lost(job, "the machine was restarted" if restarted else "its keeper was killed"))
        else:
            self._finish(job, outcome(job, found))

    async def _forget_oldest(self) -> None:
        for id_ in await self._runs.forget_oldest(keep=self._keep_finished):
            self.logs.remove(id_)

    def _after_start(self, id_: int, act: Callable[[], object]) -> None:
        """Do `act` when the job has left STARTING."""

        async def wait() -> None:
            await self.started(id_)
            act()

        self._spawn(wait())

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _launch(job: Job, stdio: Stdio) -> Launch:
    request = job.request
    return Launch(
        job=job.id,
        argv=request.argv,
        environment={**request.environment, **_added(job)},
        cwd=request.cwd,
        umask=request.umask,
        uid=request.owner.uid,
        gid=request.owner.gid,
        groups=request.owner.groups,
        env=request.env,
        stdin=stdio[0],
        stdout=stdio[1],
        stderr=stdio[2],
        terminal=request.terminal,
        cpus=job.cpus or None,
        memory=request.limits.memory,
        io_weight=request.limits.io_weight,
        grace=request.grace,
    )


def _added(job: Job) -> dict[str, str]:
    """What mlosd adds to a job's environment: who it is, and the GPUs that are its own."""
    added = {"MLOSD_JOB_ID": str(job.id), "MLOSD_ENVIRONMENT": job.request.env}
    if job.gpus or job.request.limits.gpus == 0:
        added["CUDA_VISIBLE_DEVICES"] = ",".join(job.gpus)
        added["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return added


def _close(stdio: Stdio | None) -> None:
    for fd in stdio or ():
        os.close(fd)
