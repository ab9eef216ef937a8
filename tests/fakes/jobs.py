"""Jobs for tests that need some."""

from mlosd.jobs.job import Job, Limits, Owner, Request
from mlosd.jobs.state import Queued


def job(id_: int, *, priority: int = 0, limits: Limits | None = None) -> Job:
    """A queued job that asks for nothing special."""
    request = Request(
        argv=("true",),
        cwd="/",
        environment={},
        umask=0o022,
        name="true",
        owner=Owner(0, 0, ()),
        project=None,
        project_name=None,
        env="dev",
        job_class="training",
        priority=priority,
        grace=1.0,
        limits=limits or Limits(),
        foreground=False,
        terminal=False,
    )
    return Job(id_, request, 0.0, Queued())
