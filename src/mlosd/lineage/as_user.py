"""Run a short program as a user of this machine, and take what it prints: bounded in time and in bytes.

It gets nothing of ours: no terminal, no descriptors, no environment, no directory.
"""

import hashlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class User:
    """Whom to run as. A daemon that is not root runs everything as itself."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Unanswered(Exception):
    """The program failed, took too long, or had too much to say. The text says which."""


def printed(
    argv: Sequence[str],
    user: User | None,
    *,
    environment: Mapping[str, str],
    seconds: float,
    most: int,
    stdin: int = -1,
) -> bytes:
    """What the program prints, run as `user` (None: as we are). Raises Unanswered, OSError."""
    output = bytearray()
    _run(argv, user, environment=environment, seconds=seconds, most=most, stdin=stdin, take=output.extend)
    return bytes(output)


def digested(
    argv: Sequence[str], user: User | None, *, environment: Mapping[str, str], seconds: float, most: int
) -> tuple[str, int]:
    """SHA-256 (hex) and length of what the program prints; none of it is kept. Raises Unanswered, OSError."""
    digest, size = hashlib.sha256(), 0

    def take(chunk: bytes) -> None:
        nonlocal size
        digest.update(chunk)
        size += len(chunk)

    _run(argv, user, environment=environment, seconds=seconds, most=most, stdin=-1, take=take)
    return digest.hexdigest(), size


def _run(
    argv: Sequence[str],
    user: User | None,
    *,
    environment: Mapping[str, str],
    seconds: float,
    most: int,
    stdin: int,
    take: Callable[[bytes], None],
) -> None:
    deadline = time.monotonic() + seconds
    with _started(argv, user, environment, stdin) as process:
        assert process.stdout is not None
        for chunk in _chunks(process.stdout.fileno(), deadline, argv[0]):
            most -= len(chunk)
            if most < 0:
                raise Unanswered(f"{argv[0]} has too much to say")
            take(chunk)
        try:
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as e:
            raise Unanswered(f"{argv[0]} took more than {seconds:g} s") from e
        if code != 0:
            raise Unanswered(f"{argv[0]} ended with {code}")


@contextmanager
def _started(
    argv: Sequence[str], user: User | None, environment: Mapping[str, str], stdin: int
) -> Iterator[subprocess.Popen[bytes]]:
    drops = user is not None and os.geteuid() == 0 != user.uid
    process = subprocess.Popen(
        argv,
        stdin=stdin if stdin >= 0 else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=dict(environment),
        start_new_session=True,
        umask=0o077,
        user=user.uid if user and drops else None,
        group=user.gid if user and drops else None,
        extra_groups=user.groups if user and drops else None,
    )
    try:
        yield process
    finally:
        # Whatever it started is in its session; one that waits for a dead file server dies when that answers.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.stdout is not None:
            process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)


def _chunks(fd: int, deadline: float, name: str) -> Iterator[bytes]:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise Unanswered(f"{name} did not answer in time")
        chunk = os.read(fd, _CHUNK)
        if not chunk:
            return
        yield chunk
