"""Where siblings meet: what one service has becomes what another one takes. Each function is one such seam."""

from mlosd.jobs.job import Job
from mlosd.lineage.subject import Subject


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
