"""The table of `job list`."""

import shlex
import time
from collections.abc import Iterable
from typing import Any

from mlosd.cli import outcome, paint
from mlosd.cli.quantity import show_duration, show_size
from mlosd.cli.table import Column

Row = tuple[str, ...]


def columns() -> list[Column]:
    """The columns, the most telling ones first; what is long may be cut."""
    return [
        Column("ID", align=">"),
        Column("STATE", cut=True, colour=colour),
        Column("USER"),
        Column("ENV"),
        Column("CPUS", align=">"),
        Column("MEMORY", align=">"),
        Column("ELAPSED", align=">"),
        Column("NAME", cut=True),
        Column("COMMAND", cut=True),
    ]


def rows(jobs: Iterable[dict[str, Any]], *, now: float | None = None) -> list[Row]:
    """A row for each job."""
    at = time.time() if now is None else now
    return [_row(job, at) for job in jobs]


def state(job: dict[str, Any]) -> str:
    """The state with its reason; for a job that is done, how it ended."""
    if job["state"] != outcome.DONE:
        return f"{job['state']} ({job['reason']})" if job.get("reason") else str(job["state"])
    if job.get("signal") is not None:
        return f"{job['result']} ({outcome.signal_name(job['signal'])})"
    return f"{job['result']} ({job['exit_code']})" if job.get("exit_code") else str(job["result"])


def colour(text: str) -> str | None:
    """Green for what runs, yellow for what waits, red for what failed."""
    match text.split(" ", 1)[0]:
        case "RUNNING" | "STARTING":
            return paint.GREEN
        case "QUEUED" | "HELD" | "FROZEN" | "PREEMPTED" | "STOPPING":
            return paint.YELLOW
        case "ok":
            return paint.DIM
        case _:
            return paint.RED


def elapsed(job: dict[str, Any], now: float) -> float | None:
    """Seconds that it ran, or has run so far; None before it starts."""
    if job.get("started_at") is None:
        return None
    end = now if job.get("ended_at") is None else job["ended_at"]
    return max(0.0, float(end - job["started_at"]))


def _row(job: dict[str, Any], now: float) -> Row:
    limits = job["limits"]
    seconds = elapsed(job, now)
    return (
        str(job["id"]),
        state(job),
        job["user"],
        job["env"],
        str(limits.get("cpus") or "-"),
        show_size(limits["memory"]) if limits.get("memory") is not None else "-",
        show_duration(seconds) if seconds is not None else "-",
        job["name"],
        shlex.join(job["argv"]),
    )
