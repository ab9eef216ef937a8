"""One worker process, seen from the daemon: started, asked, ended. Owns the process and its socket."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from mlosd.content import messages
from mlosd.content.messages import Answer
from mlosd.content.sandbox import Layer, Pace

_START_SECONDS = 60.0
_DEATH_SECONDS = 2.0


class WorkerLost(Exception):
    """It ended, or had to be ended, with some of what it was asked unanswered."""

    def __init__(self, reason: str, answers: Sequence[Answer]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answers = answers


class WorkerProcess:
    """A worker. Ask it one thing at a time; after WorkerLost or a cancelled question, end it."""

    def __init__(self, process: "subprocess.Popen[bytes]", sock: socket.socket, *, stall_seconds: float) -> None:
        self.layers: tuple[Layer, ...] = ()
        self._process = process
        self._sock = sock
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        self._gone = self._loop.create_future()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @classmethod
    def spawn(cls, pace: Pace, *, stall_seconds: float) -> "WorkerProcess":
        """Start one; it is not `ready` yet. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "mlosd.content.worker", str(theirs.fileno()), pace],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                    start_new_session=True,  # Ctrl-C in a daemon's terminal is for the daemon
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        return cls(process, ours, stall_seconds=stall_seconds)

    async def ready(self) -> None:
        """Wait until it has confined itself. Raises WorkerLost."""
        try:
            ready = messages.decode_ready(await self._packet(_START_SECONDS, []))
        except messages.Nonsense as e:
            raise WorkerLost("its reader does not start", []) from e
        self.layers = tuple(Layer(name, lacking) for name, lacking in ready)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._gone.done()

    async def ask(self, request: bytes, fds: Sequence[int], count: int) -> list[Answer]:
        """Its answers, in order. Raises WorkerLost, or OSError where the descriptors cannot be passed."""
        socket.send_fds(self._sock, [request], fds)
        answers: list[Answer] = []
        while True:
            packet = await self._packet(self._stall_seconds, answers)
            try:
                answers += messages.decode_answers(packet)
            except messages.Nonsense as e:
                raise WorkerLost("its reader broke", answers) from e
            if len(answers) >= count:
                return answers[:count]

    def end(self) -> None:
        """End it now, whatever it does. A question in flight becomes WorkerLost."""
        if not self._gone.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def ended(self) -> None:
        """Wait for its end, but not for ever: a file server that is dead can keep a killed process."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DEATH_SECONDS):
                await asyncio.shield(self._gone)

    async def _packet(self, seconds: float, answers: Sequence[Answer]) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                packet = await self._loop.sock_recv(self._sock, messages.PACKET)
        except TimeoutError as e:
            raise WorkerLost("took too long", answers) from e
        except OSError:
            packet = b""
        if not packet:
            await self.ended()
            raise WorkerLost(self._why_gone(), answers)
        return packet

    def _why_gone(self) -> str:
        match self._process.returncode:
            case None:
                return "its reader broke"
            case code if code == -signal.SIGPROF:
                return "took too long"
            case code if code < 0:
                return f"its reader was ended by {signal.Signals(-code).name}"
            case code:
                return f"its reader ended with status {code}"

    def _reap(self) -> None:
        if self._process.poll() is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        # Its end of the socket closed before: whoever still waits for a packet is told in this turn of the loop.
        self._sock.close()
        self._gone.set_result(None)
