"""The request and the outcome of a run that comes from elsewhere, as the run table has them. Values only.

Every field that jobs/records.py wants is there, and of its type: a row that does not load would spoil the list of jobs.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from mlosd.exchange import records

_LIMITS = ("cpus", "memory", "io_weight", "gpus", "time")
_USAGE = (
    "cpu_us",
    "memory_peak",
    "read_bytes",
    "written_bytes",
    "cpu_pressure_us",
    "memory_pressure_us",
    "io_pressure_us",
    "oom_kills",
)
_MOMENT = records.Kind("outcome", "run", "Outcome", {"started_at": "number", "ended_at": "number"})


def request(
    told: Mapping[str, Any], *, owner: Mapping[str, Any], project: str | None, project_name: str | None
) -> dict[str, Any]:
    """What was asked. Raises ValueError. `owner`: whose job it is here."""
    if not records.printable.fullmatch(told["name"]):
        raise ValueError("a job's name is printable")
    priority, grace, umask = told.get("priority") or 0, told.get("grace") or 0.0, told.get("umask")
    if not (-1000 <= priority <= 1000 and 0 <= grace <= 86400 and 0 <= (umask or 0) <= 0o777):
        raise ValueError("a job's priority, grace or umask is out of range")
    limits = told.get("limits") or {}
    return {
        "argv": list(told["argv"]),
        "cwd": told["cwd"],
        "environment": dict(told["environment"]),
        "umask": 0o022 if umask is None else umask,
        "name": told["name"],
        "owner": dict(owner),
        "project": project,
        "project_name": project_name,
        "env": told.get("env") or "dev",
        "job_class": told.get("job_class") or "training",
        "priority": priority,
        "grace": float(grace),
        "limits": {name: limits.get(name) for name in _LIMITS},
        "foreground": bool(told.get("foreground")),
        "terminal": bool(told.get("terminal")),
    }


def outcome(told: Mapping[str, Any]) -> dict[str, Any]:
    """How it ended. Raises ValueError."""
    done = told["state"]
    usage = done.get("usage")
    return {
        "state": {
            "result": done["result"],
            "reason": done.get("reason"),
            "exit_code": done.get("exit_code"),
            "signal": done.get("signal"),
            "started_at": records.decode(_MOMENT, "started_at", done.get("started_at")),
            "ended_at": records.decode(_MOMENT, "ended_at", done["ended_at"]),
            "usage": {name: usage.get(name) for name in _USAGE} if usage else None,
        },
        "cpus": list(told.get("cpus") or ()),
        "gpus": list(told.get("gpus") or ()),
        "notes": list(told.get("notes") or ()),
    }


def id_of(owner: int, *parts: str) -> str:
    """The id of something that has none of ours: the same for the same thing, another for another owner.

    A UUID of version 8 (RFC 9562 §5.8).
    """
    digest = hashlib.sha256("\0".join((str(owner), *parts)).encode("utf-8", "surrogatepass")).hexdigest()
    digits = f"{digest[:12]}8{digest[13:16]}8{digest[17:32]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
