"""The card of `job show`: what was asked, what was granted, what it cost, how it ended."""

import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mlosd.cli import job_table, outcome, printing
from mlosd.cli.printing import moment
from mlosd.cli.quantity import show_duration, show_size

Fact = tuple[str, str]

MICROSECONDS = 1_000_000
COSTS = (
    ("CPU time", "cpu_us", "cpu"),
    ("peak memory", "memory_peak", "memory"),
    ("read", "read_bytes", "io"),
    ("written", "written_bytes", "io"),
    ("waited for CPU", "cpu_pressure_us", "cpu"),
    ("waited for memory", "memory_pressure_us", "memory"),
    ("waited for I/O", "io_pressure_us", "io"),
)


def show(job: dict[str, Any]) -> None:
    """Print the card."""
    shown = job_table.state(job)
    printing.heading(f"Job {job['id']}  {job['name']}  {shown}", colour=job_table.colour(shown))
    printing.facts(_who(job))
    printing.heading("Asked for")
    printing.facts(asked(job))
    if job.get("started_at") is not None:
        printing.heading("Granted")
        printing.facts(granted(job))
        printing.heading("Cost")
        printing.facts(cost(job))
    if job["state"] == outcome.DONE:
        printing.heading("End")
        printing.facts([("ended", moment(job.get("ended_at"))), ("how", outcome.words(job))])
    if job["notes"]:
        printing.heading("Notes")
        printing.points(job["notes"])


def asked(job: dict[str, Any]) -> list[Fact]:
    """The limits, and how it is scheduled."""
    limits = job["limits"]
    facts = [("class", job["class"]), ("environment", job["env"]), ("priority", str(job["priority"]))]
    facts += [(name, str(limits[field])) for name, field in _COUNTS if limits.get(field) is not None]
    if limits.get("memory") is not None:
        facts.append(("memory", show_size(limits["memory"])))
    if limits.get("time") is not None:
        facts.append(("time", show_duration(limits["time"])))
    return facts


_COUNTS = (("CPUs", "cpus"), ("GPUs", "gpus"), ("I/O weight", "io_weight"))


def granted(job: dict[str, Any]) -> list[Fact]:
    """What it got."""
    facts = [
        ("CPUs", ranges(job["cpus"]) or "any"),
        ("GPUs", ", ".join(job["gpus"]) or "none"),
        ("backend", job.get("backend") or "-"),
    ]
    # Of a job that is over, both are gone.
    if job.get("pid") is not None and job["state"] != outcome.DONE:
        facts.append(("cgroup", job.get("cgroup") or f"none{_why(job, 'cgroup')}"))
        facts.append(("pid", str(job["pid"])))
    return facts


def cost(job: dict[str, Any]) -> list[Fact]:
    """What it used. What this machine cannot tell is "n/a", with the reason where a note has it."""
    usage = job.get("usage") or {}
    seconds = job_table.elapsed(job, time.time())
    facts = [("elapsed", show_duration(seconds or 0.0))]
    for name, field, about in COSTS:
        value = usage.get(field)
        if value is None:
            facts.append((name, f"n/a{_why(job, about)}"))
        elif field.endswith("_us"):
            facts.append((name, _time(value) + _share(field, value, seconds)))
        else:
            facts.append((name, show_size(value)))
    if usage.get("oom_kills"):
        facts.append(("OOM kills", str(usage["oom_kills"])))
    return facts


def ranges(numbers: Iterable[int]) -> str:
    """As the kernel lists CPUs (cpuset(7)): 0-3,8."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in _runs(sorted(numbers)))


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    first: int | None = None
    last = 0
    for number in numbers:
        if first is not None and number != last + 1:
            yield first, last
            first = None
        first, last = number if first is None else first, number
    if first is not None:
        yield first, last


def _who(job: dict[str, Any]) -> list[Fact]:
    facts = [("command", shlex.join(job["argv"])), ("directory", job["cwd"]), ("user", job["user"])]
    if job.get("project"):
        facts.append(("project", job["project"]))
    facts.append(("submitted", moment(job["submitted_at"])))
    if job.get("started_at") is not None:
        facts.append(("started", moment(job["started_at"])))
    return facts


def _time(microseconds: int) -> str:
    if microseconds < MICROSECONDS:
        return f"{round(microseconds / 1000)}ms"
    return show_duration(microseconds / MICROSECONDS)


def _share(field: str, microseconds: int, seconds: float | None) -> str:
    if field != "cpu_us" or not seconds:
        return ""
    return f" ({microseconds / MICROSECONDS / seconds:.1f} CPUs on average)"


def _why(job: dict[str, Any], about: str) -> str:
    """The note about a controller, e.g. " (no memory controller)"."""
    note = next((note for note in job["notes"] if about in note.lower()), None)
    return f" ({note})" if note else ""
