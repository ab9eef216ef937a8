"""What a process gives up before it looks into files that anybody may have written.

Several layers, each enough by itself for most of it. One that this machine lacks is reported, not required: the
doctor says "degraded" then.
"""

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlosd.kernel.ioprio import ioprio_idle, ioprio_lowest
from mlosd.kernel.landlock import landlock_refuse_all
from mlosd.kernel.seccomp import no_new_privs, seccomp_given_fds_only

NOBODY = 65534
_MEMORY = 512 << 20
_FILES = 300  # 253 may arrive at once


class Pace(StrEnum):
    """How much of the machine the work may take from others."""

    PROMPT = "prompt"  # somebody waits
    CAPTURE = "capture"  # must be done before the next save; writes
    BULK = "bulk"  # what nobody else wants


@dataclass(frozen=True, slots=True)
class Layer:
    """One part of the sandbox; `lacking`: why it is not in force, None when it is."""

    name: str
    lacking: str | None = None


def enter(pace: Pace) -> tuple[Layer, ...]:
    """Confine this process, for ever: it keeps what is open, and can get nothing else. One thread only.

    Whatever it will need must be imported by now.
    """
    _set_pace(pace)
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("another user", _become_nobody),
        ("limits", lambda: _limit(writes=pace is Pace.CAPTURE)),
        ("no new privileges", no_new_privs),
        ("Landlock", lambda: _ignore(landlock_refuse_all())),
        ("seccomp", seccomp_given_fds_only),
    )
    return tuple(_attempt(name, step) for name, step in steps)


def _attempt(name: str, step: Callable[[], None]) -> Layer:
    try:
        step()
    except OSError as e:
        return Layer(name, e.strerror or str(e))
    return Layer(name)


def _ignore(_: int) -> None:
    pass


def _set_pace(pace: Pace) -> None:
    # The daemon is the last that may be killed for want of memory; this process is among the first.
    Path("/proc/self/oom_score_adj").write_text("500")
    match pace:
        case Pace.PROMPT:
            os.setpriority(os.PRIO_PROCESS, 0, 5)
        case Pace.CAPTURE:
            os.setpriority(os.PRIO_PROCESS, 0, 10)
            ioprio_lowest()
        case Pace.BULK:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            ioprio_idle()


def _become_nobody() -> None:
    if os.geteuid() != 0:
        raise PermissionError(0, "the daemon is not root: it reads as the daemon's user")
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _limit(*, writes: bool) -> None:
    limits = {
        resource.RLIMIT_AS: _MEMORY,
        resource.RLIMIT_NOFILE: _FILES,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    if not writes:
        limits[resource.RLIMIT_FSIZE] = 0
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))
