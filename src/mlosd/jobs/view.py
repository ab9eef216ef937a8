"""A job as the wire shows it (type Job of io.mlosd.Jobs)."""

from dataclasses import asdict
from typing import Any

from mlosd.jobs.backend import Usage
from mlosd.jobs.job import Job
from mlosd.jobs.state import Done, name, process

HIDDEN = "(another user's)"


def shown(job: Job, *, user: str, reason: str | None, backend: str | None, usage: Usage | None) -> dict[str, Any]:
    """Everything that the job's owner may know."""
    running, request = process(job.state), job.request
    done = job.state if isinstance(job.state, Done) else None
    cost = done.usage if done else usage
    return {
        "id": job.id,
        "name": request.name,
        "user": user,
        "project": request.project_name,
        "env": request.env,
        "class": request.job_class,
        "priority": request.priority,
        "argv": list(request.argv),
        "cwd": request.cwd,
        "state": name(job.state),
        "reason": reason,
        "result": done.result if done else None,
        "exit_code": done.exit_code if done else None,
        "signal": done.signal if done else None,
        "submitted_at": job.submitted_at,
        "started_at": done.started_at if done else running.started_at if running else None,
        "ended_at": done.ended_at if done else None,
        "pid": running.pid if running else None,
        "backend": backend,
        "cgroup": running.cgroup if running else None,
        "limits": asdict(request.limits),
        "cpus": list(job.cpus),
        "gpus": list(job.gpus),
        "usage": asdict(cost) if cost else None,
        "notes": list(job.notes),
    }


def hidden(view: dict[str, Any]) -> dict[str, Any]:
    """What other users see of it: that it is there, and what it takes."""
    return view | {"name": HIDDEN, "argv": [], "cwd": "", "project": None, "cgroup": None, "pid": None, "notes": []}
