"""Where siblings meet: what one service has becomes what another one takes. Each function is one such seam."""

import os

from mlosd.core.errors import NotFound
from mlosd.jobs.job import Job
from mlosd.jobs.table import JobTable
from mlosd.lineage.account import Used
from mlosd.lineage.places import Root
from mlosd.lineage.subject import Subject
from mlosd.store.projects import Projects


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


def roots(projects: Projects, uid: int) -> list[Root]:
    """The roots of a user's projects, as lineage knows them."""
    return [Root(row.id, os.fsencode(row.root)) for row in projects.all() if row.owner == uid]


def root_of(projects: Projects, id_: str) -> str | None:
    """The root of a project."""
    return next((row.root for row in projects.named(id_)), None)


class Unkept:
    """What jobs write is looked at when they have ended, not before."""

    def closed(self, subject: Subject, used: Used, fd: int) -> None:
        os.close(fd)

    def renamed(self, subject: Subject, used: Used) -> None: ...

    async def settle(self, run: int) -> None: ...
