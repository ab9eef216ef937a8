"""What a backend does for a job. Owns no job state: the runner does.

Both backends end in the same C program, `mlos-shepherd` (native/shepherd.c): one keeper process per job starts the
command, waits for it, and writes down how it ended. They differ in who makes the cgroup and who is the keeper's parent.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that the keeper needs to start one job. Bytes and seconds; None means no limit.

    `trace`: where the keeper writes what the job used (kernel/trace.py); None: nobody looks.
    """

    job: int
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    umask: int
    uid: int
    gid: int
    groups: tuple[int, ...]
    env: str
    stdin: int
    stdout: int
    stderr: int
    terminal: bool
    cpus: tuple[int, ...] | None
    memory: int | None
    io_weight: int | None
    grace: float
    trace: Path | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A job that runs: its keeper, its main process, its cgroup (None where there are none), when it started.

    `notes`: limits that the kernel refused after all, in words.
    """

    keeper: int
    pid: int
    cgroup: Path | None
    at: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job has cost so far. None: this kernel or cgroup cannot tell."""

    cpu_us: int | None = None
    memory_peak: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    cpu_pressure_us: int | None = None
    memory_pressure_us: int | None = None
    io_pressure_us: int | None = None
    oom_kills: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: an exit code or a signal, what it cost, and when (seconds since the epoch).

    `error`: the command never ran; it says at which step ("chdir", "exec", ...) and why.
    `notes`: what is to be said of the figures.
    """

    exit_code: int | None
    signal: int | None
    usage: Usage
    ended_at: float
    error: str | None = None
    notes: tuple[str, ...] = ()


class LaunchFailed(Exception):
    """The command never ran. `step` is the system call or the rule that said no, `errno` why (0: no errno)."""

    def __init__(self, step: str, errno: int) -> None:
        super().__init__(f"{step}: {os.strerror(errno)}" if errno else step)
        self.step = step
        self.errno = errno


class AlreadyStarted(Exception):
    """The job's at-most-once token exists: an earlier daemon started it. Look for it instead."""


class Backend(Protocol):
    """Starts a job and leaves a keeper with it. All else goes through the job's cgroup and its directory."""

    name: str

    async def open(self) -> None:
        """Get ready: connect, make the subtree. Raises MlosError where this backend cannot work here."""

    async def close(self) -> None:
        """Let go; jobs and their keepers stay."""

    def degraded(self) -> list[str]:
        """What is weaker on this machine than it should be, in words."""

    def unenforceable(self) -> Mapping[str, str]:
        """Limits ("memory", "io_weight", ...) that this machine cannot enforce, each with the reason."""

    async def start(self, launch: Launch) -> Started:
        """Start the command. Raises LaunchFailed when it never ran, AlreadyStarted when it did before."""

    async def forget(self, job: int) -> None:
        """The job has ended and its end is recorded: remove what is left of it (cgroup, unit, directory)."""
