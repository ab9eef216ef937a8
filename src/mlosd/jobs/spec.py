"""From what the wire says to a Request: defaults filled in, every value within its bounds, in words for people."""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlosd.core.errors import BadRequest
from mlosd.jobs.job import Limits, Owner, Request

ENVIRONMENTS = ("prod", "dev", "ci", "data")
DEFAULT_CLASS = "training"
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_BOUNDS = {
    "cpus": (1, 65536, "CPUs"),
    "memory": (1 << 20, 1 << 60, "bytes of memory (at least 1 MiB)"),
    "io_weight": (1, 10000, "the I/O weight"),
    "gpus": (0, 1024, "GPUs"),
    "time": (1, 366 * 86400, "seconds of time"),
}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a job gets that names none. `classes`: the job classes that exist."""

    env: str
    grace: float
    classes: tuple[str, ...]


def request(
    asked: Mapping[str, Any], owner: Owner, defaults: Defaults, *, foreground: bool = False, terminal: bool = False
) -> Request:
    """A Request out of the parameters of Submit or Run. Raises BadRequest that names the value."""
    argv = tuple(asked["argv"])
    if not argv or not argv[0]:
        raise BadRequest("the command is empty", hint="mlosctl run -- python train.py")
    if any("\0" in word for word in argv):
        raise BadRequest("an argument contains a NUL byte")
    environment = dict(asked["environment"])
    for key, value in environment.items():
        if not key or "=" in key or "\0" in key or "\0" in value:
            raise BadRequest(f"not an environment variable: {key!r}")
    cwd = asked["cwd"]
    if not cwd.startswith("/") or "\0" in cwd:
        raise BadRequest(f"the working directory must be an absolute path, not {cwd!r}")
    name = asked.get("name") or Path(argv[0]).name or argv[0]
    if not _NAME.fullmatch(name):
        raise BadRequest("a job's name is 1 to 100 printable characters")
    return Request(
        argv=argv,
        cwd=cwd,
        environment=environment,
        umask=_within(asked.get("umask"), 0, 0o777, "the umask", default=0o022),
        name=name,
        owner=owner,
        project=asked.get("project"),
        project_name=None,
        env=_one_of(asked.get("env"), ENVIRONMENTS, "environment", default=defaults.env),
        job_class=_one_of(asked.get("class"), defaults.classes, "job class", default=DEFAULT_CLASS),
        priority=_within(asked.get("priority"), -1000, 1000, "the priority", default=0),
        grace=_grace(asked.get("grace"), defaults.grace),
        limits=_limits(asked.get("limits") or {}),
        foreground=foreground,
        terminal=terminal,
    )


def signal_number(number: int) -> int:
    """A signal that may be sent to a job, real-time ones too. Raises BadRequest."""
    if number not in signal.valid_signals():
        raise BadRequest(f"there is no signal {number}", hint="kill -l lists them")
    return number


def _grace(seconds: int | None, default: float) -> float:
    return default if seconds is None else float(_within(seconds, 0, 86400, "the grace period", default=0))


def _limits(asked: Mapping[str, int | None]) -> Limits:
    checked = {}
    for key, value in asked.items():
        if value is not None:
            low, high, what = _BOUNDS[key]
            checked[key] = _within(value, low, high, what, default=low)
    return Limits(**checked)


def _within(value: int | None, low: int, high: int, what: str, *, default: int) -> int:
    if value is None:
        return default
    if not low <= value <= high:
        raise BadRequest(f"{what}: {value} is not between {low} and {high}")
    return value


def _one_of(value: str | None, known: tuple[str, ...], what: str, *, default: str) -> str:
    if value is None:
        return default
    if value not in known:
        raise BadRequest(f"there is no {what} {value!r}", hint=f"one of: {', '.join(known)}")
    return value
