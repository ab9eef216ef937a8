"""Keep projects true between jobs: one rescan of each when the daemon starts, then what inotify tells.

Owns when which project is looked at. What is missed (an overflow, a limit) is said, and made good by a rescan.
"""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlosd.core import events
from mlosd.core.errors import MlosError
from mlosd.core.own_thread import in_own_thread
from mlosd.projects import survey
from mlosd.projects.datasets import Datasets
from mlosd.projects.intent import Declared, Limits, Parse, plan_of
from mlosd.projects.rescan import Rescan, Told, compare
from mlosd.projects.rights import Rights
from mlosd.projects.walk import subdirectories
from mlosd.projects.watch import Backoff, Debounce, Watch
from mlosd.store.manifests import DatasetRow
from mlosd.store.projects import Found, ProjectRow

MOST_WAITING = 10_000
"""With more changed paths than this, the whole project is looked at instead."""


@dataclass(slots=True)
class Followed:
    """A project that is followed. `since`: when watching began, None where it is not; then `why_not` says why."""

    row: ProjectRow
    since: float | None = None
    why_not: str | None = "the first look at it is not over"
    looked_at: float | None = None
    counted: int = 0
    told: Told = field(default_factory=Told)
    limit_told: bool = False
    declared: tuple[bytes, Declared] | None = None
    waiting: Debounce[str] = field(default_factory=Debounce)
    appeared: dict[str, None] = field(default_factory=dict)
    backoff: Backoff = field(default_factory=Backoff)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    timer: asyncio.TimerHandle | None = None
    task: "asyncio.Task[None] | None" = None


class Following:
    """Every project, followed."""

    def __init__(
        self,
        *,
        rescan: Rescan,
        datasets: Datasets,
        parse: Parse,
        limits: Limits,
        emit: Callable[[events.Event], None],
    ) -> None:
        self._rescan = rescan
        self._datasets = datasets
        self._parse = parse
        self._limits = limits
        self._emit = emit
        self._followed: dict[str, Followed] = {}
        self._watch = Watch(changed=self._changed, appeared=self._appeared, missed=self._missed)
        self._one_at_a_time = asyncio.Lock()
        self._asked: set[asyncio.Task[Followed]] = set()
        self._closed = False

    def open(self, projects: Iterable[ProjectRow]) -> None:
        """Begin to follow these, one after the other, in the background."""
        try:
            self._watch.open()
        except OSError as e:
            self._emit(events.Degraded(f"projects are not watched: inotify: {e.strerror}"))
        for project in projects:
            self.follow(project)

    async def close(self) -> None:
        """Stop. What was not looked at yet is at the next start."""
        self._closed = True
        self._datasets.close()
        for followed in self._followed.values():
            self._stop(followed)
        for task in self._asked:
            task.cancel()
        tasks = [f.task for f in self._followed.values() if f.task is not None]
        await asyncio.gather(*tasks, *self._asked, return_exceptions=True)
        self._watch.close()

    def follow(self, project: ProjectRow) -> None:
        """Look at a project when there is time for it, then watch it."""
        followed = self._followed[project.id] = Followed(project)
        followed.backoff.ask(self._now())
        self._arm(followed)

    def forget(self, project: str) -> None:
        """Follow it no longer."""
        if followed := self._followed.pop(project, None):
            self._stop(followed)
            self._watch.drop(project)

    def begin_settling(self, project: str) -> "asyncio.Task[Followed]":
        """`settled`, to its end, whether or not anybody waits for it."""
        task = asyncio.get_running_loop().create_task(self.settled(project))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def settled(self, project: str) -> Followed:
        """The project, when nothing is waiting to be looked at; one that is not watched is looked at now."""
        followed = self._followed[project]
        self._watch.catch_up()
        if followed.since is not None and followed.backoff.due is None and not self._is_restless(followed):
            return followed
        async with followed.lock, self._trying(followed):
            if followed.since is None or followed.backoff.due is not None:
                await self._look_at_everything(followed)
            elif self._is_restless(followed):
                await self._look_at_changes(followed, followed.waiting.take_all())
        return followed

    async def rescan(self, project: str) -> Followed:
        """Look at everything of a project now."""
        followed = self._followed[project]
        async with followed.lock, self._trying(followed):
            await self._look_at_everything(followed)
        return followed

    @staticmethod
    def _is_restless(followed: Followed) -> bool:
        return bool(followed.waiting or followed.appeared) or followed.lock.locked()

    def counted(self, project: str) -> int:
        """How many files of a dataset of this project were counted so far."""
        return self._followed[project].counted

    # What inotify tells

    def _changed(self, project: str, path: str) -> None:
        if followed := self._followed.get(project):
            followed.waiting.note(path, self._now())
            if len(followed.waiting) > MOST_WAITING:
                followed.waiting.take_all()
                followed.backoff.ask(self._now())
            self._arm(followed)

    def _appeared(self, project: str, path: str) -> None:
        if followed := self._followed.get(project):
            followed.appeared[path] = None
            self._changed(project, path)
            # Its files are missed until it is watched: at once, then.
            self._begin(followed)

    def doubt(self, project: str) -> None:
        """Something happened in a project that nobody saw: look at all of it once, soon, however often this is said."""
        self._missed(project)

    def _missed(self, project: str | None) -> None:
        for followed in list(self._followed.values()):
            if project in (None, followed.row.id):
                if project is None and followed.backoff.due is None:
                    self._emit(
                        events.Degraded(f"project {followed.row.name}: changes were missed, it is looked at anew")
                    )
                followed.waiting.take_all()
                followed.backoff.ask(self._now())
                self._arm(followed)

    # When

    def _arm(self, followed: Followed) -> None:
        """Set the timer to what is due first; no timer when nothing is."""
        if self._closed or followed.task is not None:
            return
        due = min((t for t in (followed.waiting.next_due(), followed.backoff.due) if t is not None), default=None)
        if followed.timer is not None:
            if due is not None and followed.timer.when() <= due:
                return
            followed.timer.cancel()
            followed.timer = None
        if due is not None:
            followed.timer = asyncio.get_running_loop().call_at(due, self._begin, followed)

    def _begin(self, followed: Followed) -> None:
        if followed.timer is not None:
            followed.timer.cancel()
            followed.timer = None
        if followed.task is None and not self._closed:
            followed.task = asyncio.get_running_loop().create_task(self._work(followed))

    async def _work(self, followed: Followed) -> None:
        """Do what is due."""
        try:
            async with followed.lock, self._trying(followed):
                if followed.appeared:
                    await self._watch_new(followed)
                if (due := followed.backoff.due) is not None and due <= self._now():
                    await self._look_at_everything(followed)
                elif paths := followed.waiting.take(self._now()):
                    await self._look_at_changes(followed, paths)
        except (MlosError, OSError):
            pass  # it was said
        finally:
            followed.task = None
        if followed.appeared:
            self._begin(followed)
        else:
            self._arm(followed)

    @asynccontextmanager
    async def _trying(self, followed: Followed) -> AsyncIterator[None]:
        """What is lost when a look fails is found by the next one: there is one before the next answer."""
        try:
            yield
        except MlosError as e:
            self._give_up(followed, e.message)
            raise
        except OSError as e:
            self._give_up(followed, f"{e.filename or ''} {e.strerror}".strip())
            raise

    def _give_up(self, followed: Followed, reason: str) -> None:
        """It cannot be looked at: said, once for each reason, and tried again when somebody asks for it."""
        if followed.why_not != reason:
            self._emit(events.Degraded(f"project {followed.row.name} is not watched: {reason}"))
        followed.since, followed.why_not = None, reason
        self._watch.drop(followed.row.id)

    def _stop(self, followed: Followed) -> None:
        if followed.timer is not None:
            followed.timer.cancel()
        if followed.task is not None:
            followed.task.cancel()

    # What

    async def _look_at_everything(self, followed: Followed) -> None:
        project = followed.row
        followed.backoff.begin(self._now())
        followed.appeared.clear()
        async with self._one_at_a_time, self._root(followed) as root:
            declared = await self._declared(followed, root)
            watching = await self._watch_all(followed, root)
            followed.waiting.take_all()
            known, datasets = await self._rescan.known(project.id), self._datasets.of(project.id)
            rights = Rights.of(project.owner)
            plan = plan_of(declared, self._limits, known=known, datasets=datasets)
            surveyed = await in_own_thread(lambda: survey.survey_as(rights, root, plan, most=self._limits.most))
            differences = compare(surveyed.found, known)
            await self._meet(followed, differences.datasets, datasets)
            told = await self._rescan.settle(project.id, root, rights, declared.role_by, differences)
            for row in self._datasets.of(project.id).values():
                self._add(told, await self._take(followed, root, row))
        self._note(followed, told)
        followed.looked_at = time.time()
        if watching:
            followed.since, followed.why_not = followed.looked_at, None

    async def _look_at_changes(self, followed: Followed, paths: Sequence[str]) -> None:
        if followed.appeared:
            await self._watch_new(followed)
        project, datasets = followed.row, self._datasets.of(followed.row.id)
        below: dict[str, list[str]] = {}
        others: list[str] = []
        for path in paths:
            over = next((top for top in datasets if path.startswith(f"{top}/")), None)
            (below.setdefault(over, []) if over else others).append(path)
        async with self._root(followed) as root:
            declared, rights = await self._declared(followed, root), Rights.of(project.owner)
            told = Told()
            if others:
                differences = await self._rescan.some(
                    project.id,
                    root,
                    rights,
                    lambda known: plan_of(declared, self._limits, known=known, datasets=datasets),
                    others,
                )
                await self._meet(followed, differences.datasets, datasets)
                told = await self._rescan.settle(project.id, root, rights, declared.role_by, differences)
                for path, row in self._datasets.of(project.id).items():
                    if row.root is None or path in {found.path for found in differences.datasets}:
                        self._add(told, await self._take(followed, root, row))
            for top, some in below.items():
                row = self._datasets.of(project.id)[top]
                changed = await self._datasets.change(project, root, row, some)
                self._add(told, changed or await self._take(followed, root, row))
        self._note(followed, told)

    async def _take(self, followed: Followed, root: int, row: DatasetRow) -> Told:
        def progress(files: int) -> None:
            followed.counted = files

        try:
            done = await self._datasets.take(followed.row, root, row, progress)
        except FileNotFoundError:
            return Told()  # it went away meanwhile: that is told by itself
        return Told(read=done.read, changed=done.changed, busy=done.busy, unreadable=done.unreadable)

    async def _meet(self, followed: Followed, found: Iterable[Found], known: Mapping[str, DatasetRow]) -> None:
        """Directories that are datasets, and new or elsewhere."""
        by_handle = {(row.filesystem, row.handle_type, row.handle): row for row in known.values()}
        for one in found:
            row = known.get(one.path) or by_handle.get((one.filesystem, one.handle_type, one.handle))
            if row is None:
                await self._datasets.begin(followed.row.id, one)
            else:
                await self._datasets.rename(followed.row.id, one, row)

    async def _watch_all(self, followed: Followed, root: int) -> bool:
        """Watch every directory of a project, or none: then it says why."""
        self._watch.drop(followed.row.id)
        return await self._place(followed, root, [""])

    async def _watch_new(self, followed: Followed) -> None:
        tops = list(followed.appeared)
        followed.appeared.clear()
        if followed.since is not None:
            async with self._root(followed) as root:
                await self._place(followed, root, tops)

    async def _place(self, followed: Followed, root: int, tops: Sequence[str]) -> bool:
        project, rights = followed.row.id, Rights.of(followed.row.owner)

        def place() -> None:
            with rights.taken():
                for path, fd in (one for top in tops for one in subdirectories(root, top, ours=self._limits.ours)):
                    self._watch.add(project, path, fd)

        try:
            await in_own_thread(place)
        except OSError as e:
            self._cannot_watch(followed, e)
            return False
        return True

    def _cannot_watch(self, followed: Followed, error: OSError) -> None:
        reason = error.strerror
        if error.errno == errno.ENOSPC:
            reason = "the limit of watches is reached (sysctl fs.inotify.max_user_watches)"
        followed.since, followed.why_not = None, reason
        self._watch.drop(followed.row.id)
        if not followed.limit_told:
            followed.limit_told = True
            self._emit(
                events.Degraded(
                    f"project {followed.row.name} is not watched: {reason}; it is looked at before each use"
                )
            )

    @asynccontextmanager
    async def _root(self, followed: Followed) -> AsyncIterator[int]:
        """Its root, open."""
        path, owner = Path(followed.row.root), followed.row.owner
        fd = await in_own_thread(lambda: survey.open_root(path, uid=owner, anybody=False))
        try:
            yield fd
        finally:
            os.close(fd)

    async def _declared(self, followed: Followed, root: int) -> Declared:
        """What mlos.toml says, read again only when it changed."""
        text, status = await in_own_thread(lambda: (survey.read_project_file(root) or b"", os.fstat(root)))
        if followed.declared is None or followed.declared[0] != text:
            declared = await asyncio.to_thread(self._parse, text, status.st_uid, status.st_gid)
            followed.declared = (text, declared)
        return followed.declared[1]

    def _note(self, followed: Followed, told: Told) -> None:
        followed.told = told
        if told.changed or told.gone:
            self._emit(events.ProjectChanged(followed.row.name, told.text()))

    @staticmethod
    def _add(told: Told, more: Told) -> None:
        told.read += more.read
        told.changed += more.changed
        told.gone += more.gone
        told.busy += more.busy
        told.unreadable += more.unreadable

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
