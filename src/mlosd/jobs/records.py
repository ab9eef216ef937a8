"""Jobs as rows of the metadata table, and back. A row of any released version must still load."""

import json
from collections.abc import Mapping
from typing import Any

from mlosd.core import ids
from mlosd.jobs import state as states
from mlosd.jobs.backend import Usage
from mlosd.jobs.job import Job, Limits, Owner, Request
from mlosd.jobs.state import Done, Frozen, Held, Preempted, Queued, Running, Starting, State, Stopping
from mlosd.store.runs import Run


def new_row(job: Job) -> Run:
    """The row of a job that was just submitted."""
    return _row(job, json.dumps(_fields(job.request)))


def changed_row(job: Job) -> Run:
    """The row of a job whose state changed; its request is left as it is."""
    return _row(job, "")


def job(row: Run) -> Job:
    """The job that a row tells of."""
    outcome = json.loads(row.outcome)
    return Job(
        id=row.id,
        request=_request(json.loads(row.request)),
        submitted_at=row.submitted_at,
        state=_state(row.state, outcome["state"]),
        cpus=tuple(outcome["cpus"]),
        gpus=tuple(outcome["gpus"]),
        notes=tuple(outcome["notes"]),
    )


def _row(job: Job, request: str) -> Run:
    done = job.state if isinstance(job.state, Done) else None
    return Run(
        id=job.id,
        project=job.request.project,
        uid=job.request.owner.uid,
        env=job.request.env,
        priority=job.request.priority,
        state=states.name(job.state),
        result=done.result if done else None,
        submitted_at=job.submitted_at,
        ended_at=done.ended_at if done else None,
        boot=ids.boot_id(),
        request=request,
        outcome=json.dumps(
            {"state": _fields(job.state), "cpus": job.cpus, "gpus": job.gpus, "notes": job.notes},
        ),
    )


def _fields(value: Any) -> Any:
    """A dataclass as a dict, like dataclasses.asdict, without its deep copies: all our values are immutable."""
    if not hasattr(value, "__slots__"):
        return value
    return {name: _fields(getattr(value, name)) for name in value.__slots__}


def _request(fields: Mapping[str, Any]) -> Request:
    owner = fields["owner"]
    return Request(
        **{
            **fields,
            "argv": tuple(fields["argv"]),
            "owner": Owner(owner["uid"], owner["gid"], tuple(owner["groups"])),
            "limits": Limits(**fields["limits"]),
        }
    )


def _state(name: str, fields: Mapping[str, Any]) -> State:
    match name:
        case "HELD":
            return Held(**fields)
        case "QUEUED":
            return Queued()
        case "STARTING":
            return Starting()
        case "RUNNING":
            return Running(**fields)
        case "FROZEN":
            return Frozen(Running(**fields["was"]))
        case "PREEMPTED":
            return Preempted(**fields)
        case "STOPPING":
            return Stopping(Running(**fields["was"]), fields["result"], fields["reason"])
        case "DONE":
            usage = fields["usage"]
            return Done(**{**fields, "usage": Usage(**usage) if usage else None})
        case _:
            raise ValueError(f"a run in an unknown state: {name}")
