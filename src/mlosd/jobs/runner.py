"""Start what the queue allows, notice how it ends, and find it all again after a restart.

Must not own: how a job is started (the backend), which is next (the queue), what is free (the ledger), its state (the
table).

A job runs at most once although the daemon may die at any moment: the keeper makes the job's token (O_EXCL) before it
starts the command, and what is left of a job is removed only when its end is on the disk.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path

from mlosd.core import events, ids
from mlosd.core.errors import Refused
from mlosd.jobs.backend import AlreadyStarted, Backend, Launch, LaunchFailed, Started
from mlosd.jobs.job import Job, Request, advance
from mlosd.jobs.keepers import Keepers
from mlosd.jobs.ledger import Ledger
from mlosd.jobs.logs import Logs
from mlosd.jobs.outcome import failed_launch, lost, never_started, outcome
from mlosd.jobs.queue import Queue
from mlosd.jobs.state import Done, Held, Queued, Running, name, process
from mlosd.jobs.table import JobTable
from mlosd.kernel.passed_fds import close_passed

LAST_WORDS = 3.0
PRUNE_EVERY = 1000
Stdio = tuple[int, int, int]
OutOfTime = Callable[[int], object]


class Runner:
    """The way of every job from the queue to its end. `out_of_time` is called with a job whose time is over.

    `on_start` is called with a job that is handed to its keeper or found again, `on_end` when its end is on the disk.
    """

    def __init__(
        self,
        *,
        table: JobTable,
        backend: Backend,
        keepers: Keepers,
        ledger: Ledger,
        logs: Logs,
        emit: Callable[[events.Event], None],
        keep_finished: int,
        traces: Path | None = None,
        on_start: Callable[[Job], None],
        on_end: Callable[[Job], None],
    ) -> None:
        self.queue = Queue()
        self.out_of_time: OutOfTime = lambda id_: None
        self._table = table
        self._backend = backend
        self._keepers = keepers
        self._ledger = ledger
        self._logs = logs
        self._emit = emit
        self._keep_finished = keep_finished
        self._traces = traces
        self._on_start = on_start
        self._on_end = on_end
        self._closing = False
        self._stdio: dict[int, Stdio] = {}
        self._deadlines: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect the backend and find every job that an earlier daemon left."""
        await self._backend.open()
        for reason in self._backend.degraded():
            self._emit(events.Degraded(reason))
        await self._adopt()
        await self._prune()

    async def close(self) -> None:
        """Let go: jobs and their keepers stay."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._table.settle(), LAST_WORDS)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._backend.close()

    async def submit(self, request: Request, *, notes: tuple[str, ...], stdio: Stdio | None = None) -> Job:
        """Queue a job; returns when it is durable. Takes over `stdio`. Raises Refused for what can never run here."""
        try:
            job = await self._table.insert(request, notes, self._check)
        except BaseException:
            close(stdio)
            raise
        if stdio:
            self._stdio[job.id] = stdio
        self.enqueue(job)
        return self._table.get(job.id)

    def enqueue(self, job: Job) -> None:
        """Let a job wait for room, and start it at once if there is some."""
        self.queue.add(job)
        self.schedule()

    def schedule(self) -> None:
        """Start every job that fits now, in the order of the queue."""
        while not self._closing and (job := self.queue.next_job(self._ledger.room())):
            self.queue.remove(job.id)
            grant = self._ledger.grant(job)
            job = self._table.launch(self._table.amend(job, cpus=grant.cpus, gpus=grant.gpus))
            self._spawn(self._start(job))

    def finish(self, job: Job, done: Done) -> None:
        """The job is over: give back what it held, record the end, then remove what is left of it."""
        self.queue.discard(job.id)
        close(self._stdio.pop(job.id, None))
        if deadline := self._deadlines.pop(job.id, None):
            deadline.cancel()
        self._ledger.release(job.id)
        self._spawn(self._clear_away(job.id, self._table.end(job, done)))
        self.schedule()

    def _check(self, job: Job) -> None:
        if reason := self._ledger.never_fits(job):
            raise Refused(reason, hint="ask for less")

    async def _start(self, job: Job) -> None:
        self._on_start(job)
        passed = self._stdio.pop(job.id, None)
        try:
            stdio = passed or self._log(job)
        except OSError as e:
            self.finish(job, failed_launch(LaunchFailed("open the output file", e.errno or 0)))
            return
        try:
            if job.cpus or job.gpus:
                # A daemon that comes after us must know what is taken, however soon we die.
                await self._table.remember(job)
            started = await self._backend.start(_launch(job, stdio, self._traces))
        except LaunchFailed as e:
            self.finish(job, failed_launch(e))
        except OSError as e:
            self.finish(job, failed_launch(LaunchFailed(e.filename or "start", e.errno or 0)))
        except AlreadyStarted:
            await self._find(job, boot=ids.boot_id())
        else:
            self._watch(self._started(job, started))
        finally:
            close(passed)
            if not passed:
                _close_ours(stdio)

    def _log(self, job: Job) -> Stdio:
        output = self._logs.open(job.id)
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), output, os.dup(output)

    def _started(self, job: Job, started: Started) -> Job:
        job = self._table.amend(job, notes=(*job.notes, *started.notes))
        cgroup = str(started.cgroup) if started.cgroup else None
        return self._table.change(job, Running(started.keeper, started.pid, cgroup, started.at))

    def _watch(self, job: Job) -> None:
        """Notice the end of a job that runs, and the end of its time."""
        running = process(job.state)
        assert running is not None
        self._keepers.watch(running.keeper, lambda: self._ended(job.id))
        if job.request.limits.time is not None:
            left = job.request.limits.time - self._keepers.age(running)
            self._deadlines[job.id] = asyncio.get_running_loop().call_later(max(0.0, left), self.out_of_time, job.id)

    def _ended(self, id_: int) -> None:
        job, ended = self._table.get(id_), self._keepers.end(id_)
        if ended is None:
            self._keepers.end_leftovers(id_)
            self.finish(job, lost(job, "its keeper was killed; nobody saw the end"))
        else:
            self.finish(self._table.amend(job, notes=(*job.notes, *ended.notes)), outcome(job, ended))

    async def _clear_away(self, id_: int, recorded: Awaitable[None]) -> None:
        await recorded
        self._on_end(self._table.look(id_))
        self._logs.wake(id_)
        await self._backend.forget(id_)
        self._table.forget(id_)
        if id_ % PRUNE_EVERY == 0:
            await self._prune()

    async def _prune(self) -> None:
        for id_ in await self._table.forget_oldest(keep=self._keep_finished):
            self._logs.remove(id_)

    async def _adopt(self) -> None:
        """Find every job that an earlier daemon left: those that run, those that ended meanwhile, those that wait."""
        found = list(self._table.restore())
        for stray in self._keepers.sweep({job.id for job, _ in found}):
            # Another database's: whoever got its id for a new job would get hold of its processes.
            self._table.pass_over(stray)
            self._emit(events.Degraded(f"job {stray} runs, and the database does not know it"))
        for job, boot in found:
            if process(job.state) or self._keepers.token(job.id):
                self._ledger.hold(job, cpus=job.cpus, gpus=job.gpus)
                await self._find(job, boot=boot)
            elif isinstance(job.state, Held):
                continue
            elif job.request.foreground:
                self.finish(job, never_started("the daemon stopped before it could start"))
            else:
                self.queue.add(job if isinstance(job.state, Queued) else self._table.change(job, Queued()))
        self.schedule()

    async def _find(self, job: Job, *, boot: str) -> None:
        """A job whose token exists: it runs, or it ended, or it is lost."""
        self._on_start(job)
        found = await self._keepers.find(job.id)
        if isinstance(job.state, Queued | Held):
            job = self._table.launch(advance(job, Queued()) if isinstance(job.state, Held) else job)
        if isinstance(found, Started):
            job = job if process(job.state) else self._started(job, found)
            self._watch(job)
        elif found is None:
            restarted = boot != ids.boot_id()
            self.finish(job, lost(job, "the machine was restarted" if restarted else "its keeper was killed"))
        else:
            self.finish(job, outcome(job, found))
        self._emit(events.JobAdopted(str(job.id), name(self._table.get(job.id).state)))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _launch(job: Job, stdio: Stdio, traces: Path | None) -> Launch:
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
        trace=traces / f"{job.id}.trace" if traces else None,
    )


def _added(job: Job) -> dict[str, str]:
    """What mlosd adds to a job's environment: who it is, and the GPUs that are its own."""
    added = {"MLOSD_JOB_ID": str(job.id), "MLOSD_ENVIRONMENT": job.request.env}
    if job.gpus or job.request.limits.gpus == 0:
        added["CUDA_VISIBLE_DEVICES"] = ",".join(job.gpus)
        added["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return added


def _close_ours(stdio: Stdio) -> None:
    for fd in stdio:
        os.close(fd)


def close(stdio: Stdio | None) -> None:
    """Let go of the descriptors of a job that will not need them here any more."""
    close_passed(stdio or ())
