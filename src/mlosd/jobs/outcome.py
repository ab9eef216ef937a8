"""What to call the end of a job. Pure: the keeper's facts in, a Done out."""

import errno
import signal
import time

from mlosd.jobs.backend import Ended, LaunchFailed
from mlosd.jobs.job import Job
from mlosd.jobs.state import Done, Stopping, process

# What a shell returns when it cannot run a command (POSIX, Shell Command Language 2.8.2).
NOT_FOUND, NOT_RUN = 127, 126


def outcome(job: Job, ended: Ended) -> Done:
    """The end of a job that ran, or that failed to."""
    running = process(job.state)
    started_at = running.started_at if running else None

    def done(result: str, reason: str | None) -> Done:
        return Done(
            result=result,  # type: ignore[arg-type]
            reason=reason,
            exit_code=ended.exit_code,
            signal=ended.signal,
            started_at=started_at,
            # A clock that was set back must not end a job before it began.
            ended_at=max(ended.ended_at, started_at or 0.0),
            usage=ended.usage,
        )

    if ended.error is not None:
        return done("failed", ended.error)
    if isinstance(job.state, Stopping):
        return done(job.state.result, _stopped(job.state.reason, ended))
    if (ended.usage.oom_kills or 0) > 0 and ended.exit_code != 0:
        return done("oom", "out of memory: the kernel killed it")
    if ended.exit_code == 0:
        return done("ok", None)
    if ended.signal is not None:
        return done("failed", f"ended by {_name(ended.signal)}")
    return done("failed", f"exit code {ended.exit_code}")


def failed_launch(error: LaunchFailed) -> Done:
    """The command never ran. The exit code is what a shell would say."""
    missing = error.step == "exec" and error.errno in (errno.ENOENT, errno.ENOTDIR)
    return Done(
        result="failed",
        reason=f"could not start: {error}",
        exit_code=NOT_FOUND if missing else NOT_RUN,
        signal=None,
        started_at=None,
        ended_at=time.time(),
        usage=None,
    )


def never_started(reason: str) -> Done:
    """Cancelled while it waited."""
    return Done("killed", reason, None, None, None, time.time(), None)


def lost(job: Job, evidence: str) -> Done:
    """Nobody saw the end. `evidence`: how we know that it is over."""
    running = process(job.state)
    return Done("lost", evidence, None, None, running.started_at if running else None, time.time(), None)


def _stopped(reason: str, ended: Ended) -> str:
    if ended.exit_code is not None:
        return f"{reason}; exited with {ended.exit_code} in the grace period"
    if ended.signal == signal.SIGKILL:
        return f"{reason}; killed after the grace period"
    return reason


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
