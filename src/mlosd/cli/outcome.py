"""How a job ended: in words, and as the exit code of whoever waited for it."""

import os
import signal
from collections.abc import Mapping
from typing import Any

NEVER_RAN = 127
DONE = "DONE"


def exit_code(job: Mapping[str, Any]) -> int:
    """The job's own exit code, 128 + n for a signal as shells do; 127 when it never ran, 75 when nobody saw its end."""
    if job.get("exit_code") is not None:
        return int(job["exit_code"])
    if job.get("signal") is not None:
        return 128 + int(job["signal"])
    match job.get("result"):
        case "ok":
            return os.EX_OK
        case "lost":
            return os.EX_TEMPFAIL
        case "failed":
            return NEVER_RAN
        case _:
            return 128 + signal.SIGTERM


def signal_name(number: int) -> str:
    """SIGTERM for 15; "signal 40" for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def words(job: Mapping[str, Any]) -> str:
    """One phrase: "ok", "failed: exit code 2", "killed: cancelled by ann"."""
    return f"{job['result']}: {job['reason']}" if job.get("reason") else str(job["result"])


def worth_saying(job: Mapping[str, Any]) -> bool:
    """Whether the end needs an explanation that the job's own output cannot have given."""
    return job["result"] not in {"ok", "failed"} or (job["result"] == "failed" and job.get("started_at") is None)


def waiting(job: int, reason: str | None) -> str:
    """Why a job waits, as a sentence."""
    if reason is None:
        return f"job {job} waits"
    return f"job {job} {reason}" if reason.startswith("waits") else f"job {job} waits: {reason}"
