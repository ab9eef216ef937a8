"""One run of a command, timed: on which CPUs, its output out of the way, and the step times that it tells of itself."""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from mlosd.cli.interval import median
from mlosd.core.errors import Refused

STEP_TIME = re.compile(rb"\bstep_time=([0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)")
GRACE_SECONDS = 5.0
LAST_WORDS = 2000


class CommandFailed(Exception):
    """The command ended badly, by this exit code; `said`: the end of its output."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(code)
        self.code, self.said = code, said


class Run:
    """One run of the command: its wall time, and the median of the step times that it printed, if it did."""

    __slots__ = ("step", "wall")

    def __init__(self, wall: float, step: float | None = None) -> None:
        self.wall, self.step = wall, step


def timed(argv: Sequence[str], cpus: frozenset[int], output: IO[bytes]) -> Run:
    """Run it on these CPUs (none: wherever), its output into a file. Raises CommandFailed, OSError."""
    output.seek(0)
    output.truncate()
    with _on(cpus):
        began = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        process.wait()
        wall = time.monotonic() - began
    except BaseException:
        _end(process)
        raise
    output.seek(0)
    if code := process.returncode:
        said = output.read()[-LAST_WORDS:].decode("utf-8", "replace")
        raise CommandFailed(code if code > 0 else 128 - code, said)
    told = [step for line in output for value in STEP_TIME.findall(line) if (step := float(value)) > 0]
    return Run(wall, median(told) if told else None)


@contextmanager
def _on(cpus: frozenset[int]) -> Iterator[None]:
    """What is started within starts on these CPUs."""
    before = os.sched_getaffinity(0)
    try:
        if cpus:
            _move(cpus)
        yield
    finally:
        os.sched_setaffinity(0, before)


def _move(cpus: frozenset[int]) -> None:
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as e:
        raise Refused(
            f"this session may not run on the CPUs that it got: {sorted(cpus)}: {e.strerror}",
            hint="leave --cpus out, or measure mlosctl run -- CMD",
        ) from e


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
