"""The keepers of jobs, seen from the daemon: is it there, make it stop, how did it end.

A keeper is held by pidfd. It is named by its pid *and* start time, so that another process is never taken for it.
Its directory says what it knows: `started` (the at-most-once token) and `exit`.
"""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from mlosd.core import ids
from mlosd.jobs.backend import Ended, Started, Usage
from mlosd.jobs.state import Running
from mlosd.kernel import procfs
from mlosd.kernel.cgroupfs import Account, Cgroup
from mlosd.kernel.job_files import ExitRecord, StartedRecord, forget, read_exit, read_started, was_claimed
from mlosd.kernel.pidfd import pidfd_open

# Linux 6.9; without it a signal reaches the main process only.
PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2

# What a keeper without a cgroup does on our word (native/keeper.c).
FREEZE, THAW, KILL = signal.SIGRTMIN + 1, signal.SIGRTMIN + 2, signal.SIGRTMIN + 3

PATIENCE = 2.0
LOOK_EVERY = 0.05


class Keepers:
    """Every keeper whose directory is below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._pidfds: dict[int, int] = {}

    def token(self, id_: int) -> bool:
        """Whether the job was ever handed to a keeper in this directory's life."""
        return was_claimed(self.directory / str(id_))

    def end(self, id_: int) -> Ended | None:
        """How the job ended, if its keeper wrote that down."""
        record = read_exit(self.directory / str(id_))
        return _ended(record) if record else None

    async def find(self, id_: int) -> Started | Ended | None:
        """A job whose token exists: running, ended, or None when its keeper is gone without a word."""
        directory = self.directory / str(id_)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            started = read_started(directory)
            if ended := self.end(id_):
                return ended
            if started is not None:
                break
            # The token is made before the command starts and filled after it: give the keeper a moment.
            if asyncio.get_running_loop().time() > deadline:
                return None
            await asyncio.sleep(LOOK_EVERY)
        if started.boot_id == ids.boot_id() and procfs.starttime(started.keeper) == started.keeper_start:
            return _started(started)
        # It may have written its last word between our two looks.
        if ended := self.end(id_):
            return ended
        self.end_leftovers(id_)
        return None

    def end_leftovers(self, id_: int) -> None:
        """A keeper that was killed leaves its job without one: PID 1 would end such a service, and so do we."""
        started = read_started(self.directory / str(id_))
        if started is None or started.boot_id != ids.boot_id():
            return
        if started.cgroup is not None:
            with contextlib.suppress(OSError), Cgroup.open(started.cgroup) as left:
                left.kill()
        elif procfs.starttime(started.pid) == started.pid_start:
            # Without a cgroup its process group is all that is sure to be the job's.
            with contextlib.suppress(OSError):
                os.killpg(started.pid, signal.SIGKILL)

    def sweep(self, unfinished: Container[int]) -> list[int]:
        """Remove what is left of jobs whose end was recorded before the daemon died.

        Returns the ids of those that live and should not: the database is not the one that they were recorded in.
        """
        strays = []
        for directory in tuple(self.directory.iterdir()):
            if not directory.name.isdigit() or int(directory.name) in unfinished:
                continue
            started = read_started(directory)
            if started is None or procfs.starttime(started.keeper) != started.keeper_start:
                forget(directory)
            else:
                strays.append(int(directory.name))
        return strays

    def watch(self, keeper: int, ended: Callable[[], None]) -> None:
        """Call `ended` once, when the keeper is gone."""
        loop = asyncio.get_running_loop()
        try:
            pidfd = pidfd_open(keeper)
        except ProcessLookupError:
            loop.call_soon(ended)
            return
        self._pidfds[keeper] = pidfd

        def gone() -> None:
            loop.remove_reader(pidfd)
            os.close(self._pidfds.pop(keeper))
            ended()

        loop.add_reader(pidfd, gone)

    def stop(self, running: Running) -> None:
        """SIGTERM to every process of the job, its grace period, then SIGKILL: the keeper does it."""
        self._tell(running, signal.SIGTERM)

    def stop_starting(self, id_: int) -> None:
        """The same for a job that has not said yet that it runs: its directory may be on a server that is gone."""
        self._tell_starting(id_, signal.SIGTERM)

    def kill_starting(self, id_: int) -> None:
        """End at once one that has not said yet that it runs."""
        self._tell_starting(id_, KILL)

    def kill(self, running: Running) -> None:
        """End every process of the job now."""
        if running.cgroup is not None:
            with _unless_gone(), Cgroup.open(Path(running.cgroup)) as cgroup:
                cgroup.kill()
        else:
            self._tell(running, KILL)

    def freeze(self, running: Running) -> None:
        """Stop every process of the job where it is."""
        if running.cgroup is not None:
            with _unless_gone(), Cgroup.open(Path(running.cgroup)) as cgroup:
                cgroup.freeze()
        else:
            self._tell(running, FREEZE)

    def thaw(self, running: Running) -> None:
        """Let them go on."""
        if running.cgroup is not None:
            with _unless_gone(), Cgroup.open(Path(running.cgroup)) as cgroup:
                cgroup.thaw()
        else:
            self._tell(running, THAW)

    def signal(self, running: Running, number: int) -> None:
        """To the main process and its process group, as a terminal would."""
        with contextlib.suppress(ProcessLookupError):
            pidfd = pidfd_open(running.pid)
            try:
                signal.pidfd_send_signal(pidfd, number, None, PIDFD_SIGNAL_PROCESS_GROUP)
            except OSError:
                signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)

    def age(self, running: Running) -> float:
        """Seconds since the keeper started, by a clock that nobody can set."""
        return procfs.age(running.keeper) or 0.0

    def usage(self, running: Running) -> Usage | None:
        """What a running job has cost so far; None without a cgroup."""
        if running.cgroup is None:
            return None
        with _unless_gone(), Cgroup.open(Path(running.cgroup)) as cgroup:
            return _usage(cgroup.account())
        return None

    def _tell_starting(self, id_: int, number: int) -> None:
        started = read_started(self.directory / str(id_))
        if started is None or started.boot_id != ids.boot_id():
            return
        with contextlib.suppress(ProcessLookupError):
            pidfd = pidfd_open(started.keeper)
            try:
                if procfs.starttime(started.keeper) == started.keeper_start:
                    signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)

    def _tell(self, running: Running, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, KeyError):
            signal.pidfd_send_signal(self._pidfds[running.keeper], number)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """The job may end at any moment, and its cgroup with it."""
    try:
        yield
    except OSError as e:
        if e.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def _usage(account: Account) -> Usage:
    return Usage(
        cpu_us=account.cpu_us,
        memory_peak=account.memory_peak,
        read_bytes=account.read_bytes,
        written_bytes=account.written_bytes,
        cpu_pressure_us=account.cpu_pressure_us,
        memory_pressure_us=account.memory_pressure_us,
        io_pressure_us=account.io_pressure_us,
        oom_kills=account.oom_kills,
    )


def _started(record: StartedRecord) -> Started:
    return Started(record.keeper, record.pid, record.cgroup, record.at, record.knobs_failed)


def _ended(record: ExitRecord) -> Ended:
    return Ended(
        exit_code=record.code,
        signal=record.signal,
        usage=Usage(
            cpu_us=record.cpu_us,
            memory_peak=record.memory_peak,
            read_bytes=record.read_bytes,
            written_bytes=record.written_bytes,
            cpu_pressure_us=record.cpu_pressure_us,
            memory_pressure_us=record.memory_pressure_us,
            io_pressure_us=record.io_pressure_us,
            oom_kills=record.oom_kills,
        ),
        ended_at=record.at,
        error=_launch_error(record) if record.error_step else None,
        notes=_notes(record),
    )


def _notes(record: ExitRecord) -> tuple[str, ...]:
    notes = []
    if "memory_peak" in record.from_rusage:
        notes.append("peak memory is its largest process's: no memory controller")
    if "cpu_us" in record.from_rusage:
        notes.append("CPU time is of the processes that were waited for: no cgroup")
    if record.survivors:
        notes.append("some of its processes could not be killed")
    return tuple(notes)


def _launch_error(record: ExitRecord) -> str:
    return f"could not start: {record.error_step}: {os.strerror(record.error_errno or 0)}"
