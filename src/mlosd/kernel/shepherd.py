"""Speaks with `mlos-shepherd serve` (native/serve.c): starts jobs, many at once, over one connection.

The shepherd outlives us: a daemon that comes back connects again, and finds what happened meanwhile in the jobs'
directories (`read_started`, `read_exit`).
"""

import array
import asyncio
import errno
import os
import socket
import struct
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

from mlosd.kernel.job_files import (
    ExitRecord,
    Knob,
    LaunchSpec,
    StartedRecord,
    claim,
    read_exit,
    read_started,
    was_claimed,
    write_spec,
)

__all__ = [
    "ExitRecord",
    "Knob",
    "LaunchSpec",
    "LaunchStepFailed",
    "Shepherd",
    "ShepherdLost",
    "StartedRecord",
    "claim",
    "read_exit",
    "read_started",
    "was_claimed",
    "write_spec",
]

_REPLY_SIZE = 512
_GREETING = b"serving 1"
_GREETING_SECONDS = 5.0
_CONNECT_TRIES = 100
_RETRY_SECONDS = 0.02


class LaunchStepFailed(Exception):
    """The command never ran: `step` said no ("exec", "chdir", "already-started", ...), for the reason `errno`."""

    def __init__(self, step: str, error: int) -> None:
        super().__init__(f"{step}: {os.strerror(error)}")
        self.step = step
        self.errno = error


class ShepherdLost(ConnectionError):
    """The connection ended with this start unanswered: the job's directory tells whether it happened."""


class Shepherd:
    """A connection to the shepherd. Owns the socket and the starts in flight, no job."""

    def __init__(self, sock: socket.socket, on_lost: Callable[[], None] | None) -> None:
        self._sock = sock
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[tuple[str, bytes, tuple[int, int, int]]] = deque()
        self._in_flight: dict[str, asyncio.Future[tuple[int, int]]] = {}
        self._loop.add_reader(sock, self._read)

    @classmethod
    async def connect(cls, socket_path: Path, program: Path, *, on_lost: Callable[[], None] | None = None) -> Self:
        """Connect to the shepherd that listens there; start one, in a session of its own, when nobody does.

        `on_lost` is called once when the connection ends by itself, not after `close`.
        """
        socket_path = socket_path.absolute()
        for attempt in range(_CONNECT_TRIES):
            try:
                return cls(await _connect(socket_path), on_lost)
            except (FileNotFoundError, ConnectionRefusedError):
                # The second time it may be another's shepherd that has its name already but does not listen yet.
                if attempt % 10 == 0:
                    await _spawn(program, socket_path)
                else:
                    await asyncio.sleep(_RETRY_SECONDS)
            except (BlockingIOError, ConnectionResetError):
                await asyncio.sleep(_RETRY_SECONDS)
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED), str(socket_path))

    async def start(self, job: str, jobdir: Path, *, stdin: int, stdout: int, stderr: int) -> tuple[int, int]:
        """Start the job whose `spec` lies in `jobdir`; returns the pid of its keeper and its own.

        The three fds are the job's; close them here once this returns. Raises LaunchStepFailed or ShepherdLost.
        """
        if job in self._in_flight:
            raise ValueError(f"job {job} is being started already")
        if self._sock.fileno() < 0:
            raise ShepherdLost("not connected to the shepherd")
        future: asyncio.Future[tuple[int, int]] = self._loop.create_future()
        self._in_flight[job] = future
        self._unsent.append((job, b"start %s %s" % (job.encode(), os.fsencode(jobdir)), (stdin, stdout, stderr)))
        if len(self._unsent) == 1:
            self._send()
        try:
            return await future
        finally:
            # Cancelled before it was sent: the fds may be another's by the time it would be.
            if future.cancelled():
                self._unsent = deque(entry for entry in self._unsent if entry[0] != job)
            self._in_flight.pop(job, None)

    def close(self) -> None:
        """Let go. The shepherd and all jobs stay."""
        self._on_lost = None
        self._lose()

    def _send(self) -> None:
        self._loop.remove_writer(self._sock)
        while self._unsent:
            _, message, streams = self._unsent[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
            try:
                self._sock.sendmsg([message], rights)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._send)
                return
            except OSError as error:
                # Too many fds are on their way for RLIMIT_NOFILE (unix(7)): the shepherd takes them off.
                if error.errno == errno.ETOOMANYREFS:
                    self._loop.call_later(_RETRY_SECONDS, self._send_again)
                    return
                if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                    self._lose()
                    return
                # This message alone: a closed fd, a path that is too long.
                self._finish(self._unsent.popleft()[0], LaunchStepFailed("send", error.errno or errno.EIO))
                continue
            self._unsent.popleft()

    def _send_again(self) -> None:
        if self._sock.fileno() >= 0:
            self._send()

    def _read(self) -> None:
        while self._sock.fileno() >= 0:
            try:
                reply = self._sock.recv(_REPLY_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                reply = b""
            if not reply:
                self._lose()
                return
            self._take(reply.decode("utf-8", "replace").split(" "))

    def _take(self, words: list[str]) -> None:
        match words:
            case ["started", job, keeper, pid]:
                self._finish(job, (int(keeper), int(pid)))
            case ["failed", job, step, error]:
                self._finish(job, LaunchStepFailed(step, int(error)))

    def _finish(self, job: str, outcome: tuple[int, int] | Exception) -> None:
        future = self._in_flight.get(job)
        if future is None or future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _lose(self) -> None:
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._unsent.clear()
        for job in tuple(self._in_flight):
            self._finish(job, ShepherdLost("the shepherd went away"))
        if self._on_lost is not None:
            self._on_lost()


async def _connect(path: Path) -> socket.socket:
    """A connection whose other end has said that it is there. ConnectionResetError: its server was just leaving."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        # Through the directory's fd, because the name of a socket has room for 108 bytes only.
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
        _, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII")))
        if uid != os.geteuid():
            raise PermissionError(errno.EPERM, "the shepherd is another user's", str(path))
        greeting = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, _REPLY_SIZE), _GREETING_SECONDS)
        if greeting != _GREETING:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET), str(path))
    except BaseException:
        sock.close()
        raise
    return sock


async def _spawn(program: Path, path: Path) -> None:
    """Run `mlos-shepherd serve`, which returns once it listens and leaves the resident process behind."""
    process = await asyncio.create_subprocess_exec(
        program,
        "serve",
        path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={},  # it needs none, and ours may hold secrets
    )
    _, complaint = await process.communicate()
    if process.returncode != 0:
        raise OSError(
            errno.EIO, complaint.decode("utf-8", "replace").strip() or "the shepherd does not start", str(path)
        )
