"""Follow the traces of jobs as they grow, and turn each into rows when its job has ended.

Owns the directory of traces: a trace stays until its rows are on the disk, so that nothing is lost with the daemon.
Must not own: what a row is (ingest), what becomes of a model (`on_closed`).
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from inotify_simple import INotify, flags

from mlosd.core import events
from mlosd.kernel.file_handle import FileHandle
from mlosd.kernel.trace import Closed, Covered, Record, Renamed
from mlosd.lineage.account import Account, Reading, Used
from mlosd.lineage.filesystems import Filesystems
from mlosd.lineage.subject import Subject

CHUNK = 128 << 10  # a thousand records: clients do not notice
WRITE_DOWN_AFTER = 1.0


class Writes(Protocol):
    """Who cares for what jobs write: the registry of models."""

    def closed(self, subject: Subject, used: Used, fd: int) -> None:
        """A job closed a file after writing; `fd` is it, opened for reading, and the callee's from now on."""

    def renamed(self, subject: Subject, used: Used) -> None:
        """A file that a job used has another path now."""

    async def settle(self, run: int) -> None:
        """The job has ended: done when all that it wrote is taken care of."""


Record_ = Callable[[Subject, Account, str], Awaitable[None]]
"""Makes the rows of a run, given what it remembers (JSON)."""


@dataclass(slots=True)
class _Followed:
    subject: Subject
    facts: asyncio.Task[str]
    reading: Reading = field(default_factory=Reading)
    fd: int | None = None
    is_behind: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class Follower:
    """Every trace below `directory`. `begin` and `end` are told of each job.

    `why_not`: jobs cannot be observed here, in words.
    """

    def __init__(
        self,
        directory: Path,
        *,
        filesystems: Filesystems,
        writes: Writes,
        facts_at_start: Callable[[Subject], Coroutine[None, None, str]],
        record: Record_,
        why_not: str | None,
        emit: Callable[[events.Event], None],
    ) -> None:
        self._why_not = why_not
        self._directory = directory
        self._filesystems = filesystems
        self._writes = writes
        self._facts_at_start = facts_at_start
        self._record = record
        self._emit = emit
        self._followed: dict[int, _Followed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._inotify: INotify | None = None

    def open(self) -> None:
        """Listen. The kernel wakes us when a keeper has written, and never else."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._inotify = INotify(nonblocking=True)
        self._inotify.add_watch(self._directory, flags.MODIFY)
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._wake)

    async def close(self) -> None:
        """Let go: keepers write on, and the next daemon reads from the beginning."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
        for task in (*self._tasks, *(followed.facts for followed in self._followed.values())):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for followed in self._followed.values():
            _close(followed)

    def begin(self, subject: Subject) -> None:
        """A job starts, or was found again: read what its keeper writes."""
        if subject.run in self._followed:
            return
        followed = _Followed(subject, asyncio.get_running_loop().create_task(self._facts(subject)))
        self._followed[subject.run] = followed
        self._read(followed)

    def end(self, run: int) -> None:
        """A job has ended. One that never began has no lineage."""
        followed = self._followed.get(run)
        if followed is None:
            return
        task = asyncio.get_running_loop().create_task(self._end(followed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def watches(self, run: int) -> bool:
        """Whether the rows of a run are still to come."""
        return run in self._followed

    async def settled(self, run: int) -> None:
        """Wait until the rows of a run that has ended are on the disk."""
        if followed := self._followed.get(run):
            await followed.settled.wait()

    async def caught_up(self, *, patience: float) -> None:
        """Wait until the rows of all runs that have ended are on the disk, so many seconds at most."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=patience)

    def take_up(self, find: Callable[[int], Subject | None]) -> None:
        """Make the rows of jobs that ended while no daemon was there. `find`: None for a job that nobody knows."""
        for run in sorted(int(path.stem) for path in self._directory.glob("*.trace") if _is_trace(path.name)):
            if run in self._followed:
                continue
            if subject := find(run):
                self.begin(subject)
                self.end(run)
            else:
                self._forget(run)

    def _wake(self) -> None:
        assert self._inotify is not None
        runs = {int(Path(event.name).stem) for event in self._inotify.read(timeout=0) if _is_trace(event.name)}
        # A queue that overflowed names nobody: whoever has written will be read with the next word or at the end.
        for run in runs & self._followed.keys():
            self._read(self._followed[run])

    def _read(self, followed: _Followed) -> None:
        if followed.fd is None:
            try:
                followed.fd = os.open(self._path(followed.subject.run), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                return
        if not followed.is_behind:
            # A job that opens files without end, or a long trace from before we were there: everybody has his turn.
            self._read_in_turn(followed)

    def _read_in_turn(self, followed: _Followed) -> None:
        followed.is_behind = False  # also when reading fails
        if followed.fd is not None and self._read_on(followed):
            followed.is_behind = True
            asyncio.get_running_loop().call_soon(self._read_in_turn, followed)

    def _read_on(self, followed: _Followed) -> bool:
        """Read a piece of the trace; whether there may be more."""
        assert followed.fd is not None
        chunk = os.read(followed.fd, CHUNK)
        for record in followed.reading.feed(chunk):
            self._tell(followed, record)
        return len(chunk) == CHUNK

    def _tell(self, followed: _Followed, record: Record) -> None:
        match record:
            case Covered():
                self._filesystems.cover(record)
            case Closed(number) if used := followed.reading.account.files.get(number):
                with suppress(OSError):  # gone already: nothing that could be kept
                    fd = self._filesystems.open(
                        used.first.filesystem, FileHandle(used.first.handle_type, used.first.handle)
                    )
                    self._writes.closed(followed.subject, used, fd)
            case Renamed(number) if used := followed.reading.account.files.get(number):
                self._writes.renamed(followed.subject, used)
            case _:
                pass

    async def _end(self, followed: _Followed) -> None:
        subject, account = followed.subject, followed.reading.account
        try:
            self._read(followed)
            while followed.is_behind:
                await asyncio.sleep(0)
            await self._writes.settle(subject.run)
            if followed.fd is None:
                account.reasons.append(self._why_not or "its keeper could not write a trace")
            elif not account.ended:
                account.reasons.append("its keeper did not see the end")
            await self._record(subject, account, await followed.facts)
            self._forget(subject.run)
        except Exception as e:
            # The trace stays: the next daemon tries again.
            self._emit(events.Failed(f"lineage of job {subject.run}", f"{type(e).__name__}: {e}"))
        finally:
            _close(followed)
            del self._followed[subject.run]
            followed.settled.set()

    async def _facts(self, subject: Subject) -> str:
        """What the run remembers from its start; written down, because the daemon may not be there at its end."""
        with suppress(OSError, ValueError):  # not written down, or the machine's end cut it short
            written = self._facts_path(subject.run).read_text("ascii")
            json.loads(written)
            return written
        facts = await self._facts_at_start(subject)
        # Most jobs of a burst are over by then, and two operations on the disk would be most of what they cost.
        asyncio.get_running_loop().call_later(WRITE_DOWN_AFTER, self._write_down, subject.run, facts)
        return facts

    def _write_down(self, run: int, facts: str) -> None:
        if run in self._followed:
            new = self._new_facts_path(run)
            try:
                new.write_text(facts, "ascii")
                new.rename(self._facts_path(run))
            except OSError:  # a full disk: known as long as we live
                new.unlink(missing_ok=True)

    def _forget(self, run: int) -> None:
        self._path(run).unlink(missing_ok=True)
        self._facts_path(run).unlink(missing_ok=True)
        self._new_facts_path(run).unlink(missing_ok=True)

    def _path(self, run: int) -> Path:
        return self._directory / f"{run}.trace"

    def _facts_path(self, run: int) -> Path:
        return self._directory / f"{run}.facts"

    def _new_facts_path(self, run: int) -> Path:
        return self._directory / f"{run}.facts.new"


def _is_trace(name: str) -> bool:
    stem, dot, suffix = name.partition(".")
    return dot == "." and suffix == "trace" and stem.isdigit()


def _close(followed: _Followed) -> None:
    if followed.fd is not None:
        os.close(followed.fd)
        followed.fd = None
