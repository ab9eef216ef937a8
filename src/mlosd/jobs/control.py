"""What people tell a job: end, stand still, go on, a signal. Each order is a move from one state to another."""

import asyncio
import signal
from collections.abc import Callable

from mlosd.core.errors import Refused
from mlosd.jobs.job import Job
from mlosd.jobs.keepers import Keepers
from mlosd.jobs.outcome import never_started
from mlosd.jobs.runner import Runner
from mlosd.jobs.state import Frozen, Held, Queued, Result, Running, Starting, Stopping, name, process
from mlosd.jobs.table import JobTable


class Control:
    """Orders to jobs. What is done stays done: an order that comes too late changes nothing."""

    def __init__(self, table: JobTable, runner: Runner, keepers: Keepers) -> None:
        self._table = table
        self._runner = runner
        self._keepers = keepers
        self._later: set[asyncio.Task[None]] = set()
        self._unborn: set[int] = set()  # cancelled before they ran
        runner.out_of_time = self.out_of_time

    def cancel(self, id_: int, *, reason: str, result: Result = "killed") -> Job:
        """SIGTERM and the grace period, then the kill; asked a second time, the kill at once."""
        job = self._table.look(id_)
        match job.state:
            case Held() | Queued():
                self._runner.finish(job, never_started(reason))
            case Starting():
                if id_ in self._unborn:
                    self._keepers.kill_starting(id_)
                else:
                    self._keepers.stop_starting(id_)
                self._unborn.add(id_)
                self._when_started(id_, lambda: self._cancel_started(id_, reason, result))
            case Running() as running:
                self._stop(job, running, result, reason)
            case Frozen(running):
                self._keepers.thaw(running)
                self._stop(job, running, result, reason)
            case Stopping(running):
                self._keepers.kill(running)
        return self._table.look(id_)

    def _cancel_started(self, id_: int, reason: str, result: Result) -> None:
        self._unborn.discard(id_)
        if process(self._table.look(id_).state):
            self.cancel(id_, reason=reason, result=result)

    def freeze(self, id_: int) -> Job:
        """Stop a job where it is; one that waits is held. Raises Refused where that makes no sense."""
        job = self._table.look(id_)
        match job.state:
            case Running() as running:
                self._keepers.freeze(running)
                return self._table.change(job, Frozen(running))
            case Queued():
                self._runner.queue.remove(id_)
                return self._table.change(job, Held("held by its owner"))
            case Frozen() | Held():
                return job
            case _:
                raise Refused(f"job {id_} is {name(job.state)}", hint="only a job that runs or waits can be frozen")

    def thaw(self, id_: int) -> Job:
        """Let a frozen job go on, or a held one queue again."""
        job = self._table.look(id_)
        match job.state:
            case Frozen(running):
                self._keepers.thaw(running)
                return self._table.change(job, running)
            case Held():
                self._runner.enqueue(self._table.change(job, Queued()))
                return self._table.look(id_)
            case Running() | Queued():
                return job
            case _:
                raise Refused(f"job {id_} is {name(job.state)}", hint="only a frozen or held job can be thawed")

    def signal(self, id_: int, number: int) -> None:
        """Send a signal to the job's main process and its process group."""
        running = process(self._table.look(id_).state)
        if running is None:
            raise Refused(f"job {id_} has no processes", hint=f"mlosctl job show {id_}")
        self._keepers.signal(running, number)

    def hang_up(self, id_: int) -> None:
        """The client of a foreground job is gone: what a closed terminal does. One that waits is cancelled."""
        job = self._table.look(id_)
        if running := process(job.state):
            self._keepers.signal(running, signal.SIGHUP)
            self._keepers.signal(running, signal.SIGCONT)
        elif isinstance(job.state, Held | Queued | Starting):
            self.cancel(id_, reason="its terminal was closed")

    def out_of_time(self, id_: int) -> None:
        """The job's time is over."""
        limit = self._table.get(id_).request.limits.time
        self.cancel(id_, reason=f"its time of {limit} s is over", result="timeout")

    def _stop(self, job: Job, running: Running, result: Result, reason: str) -> None:
        self._table.change(job, Stopping(running, result, reason))
        self._keepers.stop(running)

    def _when_started(self, id_: int, act: Callable[[], object]) -> None:
        async def wait() -> None:
            await self._table.started(id_)
            act()

        task = asyncio.get_running_loop().create_task(wait())
        self._later.add(task)
        task.add_done_callback(self._later.discard)
