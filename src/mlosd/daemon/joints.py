"""Where siblings meet: what one service has becomes what another one takes. Each function is one such seam."""

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlosd.api.caller import user_name
from mlosd.core.errors import BadConfig, BadRequest, NotFound
from mlosd.jobs import classes
from mlosd.jobs.backend import Usage
from mlosd.jobs.classes import JobClass
from mlosd.jobs.job import Job
from mlosd.jobs.state import Done, Running, Stopping, process
from mlosd.jobs.table import JobTable
from mlosd.kernel.file_handle import FileHandle
from mlosd.kernel.procfs import starttime
from mlosd.lineage import places
from mlosd.lineage.account import Used
from mlosd.lineage.filesystems import Filesystems
from mlosd.lineage.places import Root
from mlosd.lineage.privacy import Rights
from mlosd.lineage.subject import Subject
from mlosd.mode.implied import Training
from mlosd.projects.resolve import Reader
from mlosd.registry.capture import Capture
from mlosd.registry.written import Closed
from mlosd.store.projects import Projects

if TYPE_CHECKING:
    from mlosd.daemon.rooms.jobs import JobRooms


def subject(job: Job) -> Subject:
    """A job, as lineage knows it."""
    request = job.request
    return Subject(
        run=job.id,
        uid=request.owner.uid,
        gid=request.owner.gid,
        groups=request.owner.groups,
        project=request.project,
        cwd=request.cwd,
        argv=request.argv,
        environment=request.environment,
        gpus=job.gpus,
    )


def subject_of(table: JobTable, run: int) -> Subject | None:
    """A job that has ended, as lineage knows it; None where its record is gone."""
    try:
        return subject(table.look(run))
    except NotFound:
        return None


def reader(job: Job) -> Reader:
    """Whose right to read a job has."""
    owner = job.request.owner
    return Reader(owner.uid, owner.gid, owner.groups)


def waited(job: Job) -> int | None:
    """Microseconds in which a job that ended well waited for storage; None where it did not, or nobody can tell."""
    match job.state:
        case Done(result="ok", usage=Usage(io_pressure_us=microseconds)):
            return microseconds
        case _:
            return None


def roots(projects: Projects, uid: int) -> list[Root]:
    """The roots of a user's projects, as lineage knows them."""
    return [Root(row.id, os.fsencode(row.root)) for row in projects.all() if row.owner == uid]


def root_of(projects: Projects, id_: str) -> str | None:
    """The root of a project."""
    return next((row.root for row in projects.named(id_)), None)


async def place_of(projects: Projects, uid: int, path: bytes) -> tuple[str, str] | None:
    """The project of a user's file and its path there; None for libraries, whose files are nobody's models."""
    where = places.place(path, roots(projects, uid), "")
    if places.role(where.path, None) == "library":
        return None
    return where.project or await projects.elsewhere(uid), where.path


async def home_of(projects: Projects, uid: int, project: str | None, path: Path) -> tuple[str, str]:
    """The project of a user's file and its path there. `project`: name or id of the one that it must be in."""
    if project is None:
        where = places.place(os.fsencode(path), roots(projects, uid), "")
        return where.project or await projects.elsewhere(uid), where.path
    row = next((row for row in projects.all() if row.owner == uid and project in (row.name, row.id)), None)
    if row is None:
        raise NotFound(f"there is no project {project!r} of yours", hint="mlosctl project list")
    if not path.is_relative_to(row.root) or path == Path(row.root):
        raise BadRequest(f"{path} is not below {row.root}", hint="register it without --project, or move it there")
    return row.id, os.fspath(path.relative_to(row.root))


class ModelWrites:
    """What jobs write, as the registry of models hears of it."""

    def __init__(self, capture: Capture, filesystems: Filesystems) -> None:
        self._capture = capture
        self._filesystems = filesystems

    def closed(self, subject: Subject, used: Used, fd: int) -> None:
        """A job closed a file after writing. What its user may write and not read is not kept for them."""
        if not Rights.of(subject).may_read(fd):
            os.close(fd)
            return
        first, after = used.first, used.after or used.before
        handle = FileHandle(first.handle_type, first.handle)
        written = Closed(
            run=subject.run,
            uid=subject.uid,
            path=used.path or b"",
            filesystem=self._filesystems.name(first.filesystem),
            handle=handle,
            parent=FileHandle(first.parent_type, first.parent),
            size=after.size,
            mtime_ns=after.mtime_ns,
            reopen=lambda: self._filesystems.open(first.filesystem, handle),
        )
        self._capture.closed(written, fd)

    def renamed(self, subject: Subject, used: Used) -> None:
        """A file that a job used is called otherwise now."""
        first = used.first
        if used.path:
            key = (self._filesystems.name(first.filesystem), first.handle_type, first.handle)
            self._capture.renamed(key, used.path)

    async def settle(self, run: int) -> None:
        """The job has ended."""
        await self._capture.settle(run)


def training(jobs: "JobRooms", id_: int, *, implies: bool = True) -> Training | None:
    """A job that runs, as ML mode knows it; None for one that does not, or stands still."""
    try:
        job = jobs.table.get(id_)
    except KeyError:
        return None
    if not isinstance(job.state, Running | Stopping):
        return None
    running, request = process(job.state), job.request
    assert running is not None
    try:
        of_class = classes.read(request.job_class)
    except (KeyError, BadConfig):
        of_class = JobClass(request.job_class, "")
    return Training(
        id=job.id,
        name=request.name,
        owner=request.owner.uid,
        user=user_name(request.owner.uid),
        # What is in production serves: it must not push others away because its class is the default one.
        profile=of_class.mode if implies and request.env != "prod" else None,
        after=of_class.mode_after,
        age=max(0.0, time.time() - running.started_at),
        cpus=job.cpus,
        gpus=job.gpus,
        memory=request.limits.memory,
        cgroup=running.cgroup,
        pid=running.pid,
        starttime=starttime(running.pid),
    )


def held_cpus(jobs: "JobRooms") -> frozenset[int]:
    """The CPUs that jobs are bound to."""
    return frozenset(cpu for job in jobs.table.unfinished() for cpu in job.cpus)


def note(jobs: "JobRooms", id_: int, text: str) -> None:
    """Tell the owner of a job something about it."""
    with contextlib.suppress(KeyError):
        job = jobs.table.get(id_)
        if text not in job.notes:
            jobs.table.amend(job, notes=(*job.notes, text))


class LowJobs:
    """The jobs that may stand still while others train: those that run, and whose class brings no mode."""

    def __init__(self, jobs: "JobRooms") -> None:
        self._jobs = jobs

    def running(self) -> list[int]:
        """Their numbers, the last one first."""
        found = (training(self._jobs, job.id) for job in self._jobs.table.unfinished())
        return [job.id for job in found if job is not None and job.profile is None]

    def freeze(self, id_: int) -> None:
        """Raises MlosError, OSError."""
        self._jobs.control.freeze(id_)

    def thaw(self, id_: int) -> None:
        """Raises MlosError, OSError."""
        self._jobs.control.thaw(id_)
