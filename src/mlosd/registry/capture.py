"""Keep the models that jobs write, soon after they are closed, before the next save can destroy them.

Owns a descriptor of each file that it cares for while the job runs, a bounded number: so a rename over a file cannot
free what was not taken yet. They are let go with the job: a descriptor held for good would keep the blocks of deleted
files and the mounts of pulled disks. Must not own: bytes (blobs.py), rows (keep.py), how long versions stay.
"""

import asyncio
import os
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable

from mlosd.content.identity import ContentChanged, ContentUnreadable, Identity
from mlosd.core import events
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel.lease import has_writers
from mlosd.registry import names
from mlosd.registry.keep import Keeping, Reads, Where, is_regular, state
from mlosd.registry.written import Closed, Key, Stage, Written
from mlosd.store.models import Added, Models

PlaceOf = Callable[[int, bytes], Awaitable[tuple[str, str] | None]]
"""The project of a user's file and its path there; None for files that are no models of anybody's (libraries)."""

AT_ONCE = 4
BUSY = (Stage.QUEUED, Stage.WORKING)
SMALLEST = 16  # no format of a model has less
NO_LEASES = "nobody could be asked whether it was still being written"

# The kernel tells of a close a moment before it stops counting the writer (__fput: fsnotify_close comes first).
WRITER_PAUSES = (0.02, 0.2)
# On kernels before 6.13 times of files have the grain of a tick: a file as young as that changes without a trace.
TICK_NS = 10_000_000


class Capture:
    """`kept` is told of each new version; `most_open` bounds the descriptors."""

    def __init__(
        self,
        *,
        keeping: Keeping,
        models: Models,
        reader: Reads,
        place: PlaceOf,
        kept: Callable[[Added], Awaitable[None]],
        most_open: int,
        emit: Callable[[events.Event], None],
    ) -> None:
        self._keeping = keeping
        self._models = models
        self._reader = reader
        self._place = place
        self._kept = kept
        self._most_open = most_open
        self._emit = emit
        self._files: dict[Key, Written] = {}
        self._opened: OrderedDict[Key, Written] = OrderedDict()
        self._queue: deque[Written] = deque()
        self._busy: Counter[int] = Counter()  # by run: files that have or await their turn
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Condition()

    def closed(self, file: Closed, fd: int) -> None:
        """A job closed a file after writing; `fd` is the file, opened for reading, and ours from now on."""
        written = self._files.get(file.key)
        if written is None:
            if 0 <= file.size < SMALLEST:
                os.close(fd)
                return
            written = self._files[file.key] = Written(file, file.path, None)
        else:
            stage = written.stage
            self._set_stage(written, Stage.OPEN)  # it may be another run's from now on
            written.closed, written.path = file, file.path
            self._set_stage(written, stage)
        if written.fd is None:
            written.fd = fd
        else:
            os.close(fd)  # the same inode is open already
        self._bound(written)
        self._enqueue(written)

    def renamed(self, key: Key, path: bytes) -> None:
        """A file that a job used is called otherwise now."""
        if written := self._files.get(key):
            written.path = path
            self._enqueue(written)

    async def settle(self, run: int) -> None:
        """The job has ended: done when all that it wrote is kept, or is known not to be kept."""
        await self._until_quiet(run)
        for written in self._of(run):
            if written.stage is Stage.OPEN:
                self._enqueue(written)
        await self._until_quiet(run)
        for written in self._of(run):
            if written.stage is Stage.OPEN:
                self._say(written, "not kept: it is still being written, or was written by somebody else since")
            self._forget(written)

    async def close(self) -> None:
        """Let go of everything. The next daemon hears of it again from the traces."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for written in list(self._files.values()):
            self._forget(written)

    def _of(self, run: int) -> list[Written]:
        return [written for written in self._files.values() if written.closed.run == run]

    async def _until_quiet(self, run: int) -> None:
        async with self._quiet:
            await self._quiet.wait_for(lambda: not self._busy[run])

    def _enqueue(self, written: Written) -> None:
        """Let it have its turn, once: what comes while it has it makes for another."""
        if written.stage is Stage.WORKING:
            written.is_stale = True
            return
        if written.stage is not Stage.QUEUED:
            self._set_stage(written, Stage.QUEUED)
            self._queue.append(written)
        if len(self._tasks) < AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _set_stage(self, written: Written, stage: Stage) -> None:
        self._busy[written.closed.run] += (stage in BUSY) - (written.stage in BUSY)
        written.stage = stage

    def _bound(self, newest: Written) -> None:
        """Close descriptors beyond the bound: of what is done first, then of what has waited longest."""
        self._opened[newest.closed.key] = newest
        self._opened.move_to_end(newest.closed.key)
        if len(self._opened) <= self._most_open:
            return
        idle = [written for written in self._opened.values() if written.stage is not Stage.WORKING]
        idle.sort(key=lambda written: written.stage is not Stage.DONE)
        # Some more than needed: a job that writes a million files shall not make us sort at each.
        for written in idle[: len(self._opened) - self._most_open * 7 // 8]:
            self._release(written)

    def _release(self, written: Written) -> None:
        written.release()
        self._opened.pop(written.closed.key, None)

    def _forget(self, written: Written) -> None:
        self._release(written)
        self._set_stage(written, Stage.DONE)
        self._files.pop(written.closed.key, None)

    async def _work(self) -> None:
        while self._queue:
            written = self._queue.popleft()
            self._set_stage(written, Stage.WORKING)
            written.is_stale = False
            try:
                stage = await self._take(written)
            except ContentChanged:
                stage = Stage.OPEN  # the next close decides, or the end of the job
            except (ContentUnreadable, OSError) as e:
                self._say(written, f"not kept: {e}")
                stage = None
            except Exception as e:
                self._emit(events.Failed(f"keeping {_shown(written.path)}", f"{type(e).__name__}: {e}"))
                stage = None
            if written.is_stale:
                self._set_stage(written, Stage.QUEUED)
                self._queue.append(written)
            elif stage is None:
                self._forget(written)
            else:
                self._set_stage(written, stage)
            async with self._quiet:
                self._quiet.notify_all()

    async def _take(self, written: Written) -> Stage | None:
        """Keep the file if it is a finished model; what it waits for, or None when it is of no interest."""
        try:
            fd = await in_own_thread(written.open)
        except OSError:
            return None  # gone before anybody could look
        self._opened[written.closed.key] = written
        now = await in_own_thread(lambda: state(fd))
        if now.size < SMALLEST or not is_regular(fd):
            return None
        if not await in_own_thread(written.look_for_name) or not written.name or names.is_temporary(written.name):
            return Stage.UNNAMED
        if written.taken and written.taken.state.is_content_of(now):
            return await self._take_again(written)
        if not written.closed.is_left_as(now):
            return Stage.OPEN
        place = await self._place(written.closed.uid, written.path)
        if place is None:
            return None
        identity = await self._reader.identify(fd, name=written.name)
        if not identity.complete or not self._is_model(identity, place):
            return None
        writers = await _has_writers(fd)
        if writers:
            return Stage.OPEN
        await _let_a_tick_pass(now.mtime_ns)
        return await self._keep(written, fd, doubt=NO_LEASES if writers is None else None)

    async def _keep(self, written: Written, fd: int, *, doubt: str | None) -> Stage | None:
        path = written.path
        async with self._keeping.taking(fd, name=written.name) as taken:
            # It may have got another name in the meantime; not so if it was only put aside.
            await in_own_thread(written.look_for_name)
            where = await self._where(written, path if names.is_temporary(written.name) else written.path)
            if where is None:
                return None
            added = await self._keeping.note(taken, where, run=written.closed.run, but=doubt)
        written.taken = taken
        await self._tell(written, added, taken.kept.captured)
        return Stage.DONE

    async def _take_again(self, written: Written) -> Stage | None:
        """The same content under another name."""
        assert written.taken is not None
        where = await self._where(written, written.path)
        if where is None:
            return None
        added = await self._keeping.keep_again(written.taken, where, run=written.closed.run)
        if added is None:  # pruned, or there was no room the first time
            written.taken = None
            return await self._take(written)
        await self._tell(written, added, written.taken.kept.captured)
        return Stage.DONE

    async def _where(self, written: Written, path: bytes) -> Where | None:
        place = await self._place(written.closed.uid, path)
        closed = written.closed
        return place and Where(*place, closed.filesystem, closed.handle, closed.parent)

    def _is_model(self, identity: Identity, place: tuple[str, str]) -> bool:
        """The user's word counts most, then that of mlos.toml where the content does not deny it, then the content."""
        role, role_by = self._models.role_at(*place) or (None, "assumed")
        if role_by == "corrected":
            return role == "model"
        if role_by == "declared":
            return role == "model" and identity.role in ("model", None)
        return identity.role == "model"

    async def _tell(self, written: Written, added: Added, captured: str) -> None:
        if added.is_new:
            self._say(written, f"version {added.number} of {added.name}, {captured}")
            await self._kept(added)

    def _say(self, written: Written, detail: str) -> None:
        self._emit(events.ModelChanged(_shown(written.path), detail))


async def _has_writers(fd: int) -> bool | None:
    for pause in WRITER_PAUSES:
        if not (answer := await in_own_thread(lambda: has_writers(fd))):
            return answer
        await asyncio.sleep(pause)
    return await in_own_thread(lambda: has_writers(fd))


async def _let_a_tick_pass(mtime_ns: int) -> None:
    age = time.time_ns() - mtime_ns
    if 0 <= age < TICK_NS:
        await asyncio.sleep((TICK_NS - age) / 1e9)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
