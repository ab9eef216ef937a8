"""What one client has sent and nobody has begun to answer: whole messages, the beginning of one, descriptors."""

import array
import socket
from collections import deque
from collections.abc import Iterable

from mlosd.api.limits import Limits
from mlosd.core.errors import BadMessage
from mlosd.kernel.passed_fds import close_passed
from mlosd.wire.frames import Frame, Frames
from mlosd.wire.message import LARGEST_CALL

_AT_ONCE = 1 << 16
_FD_SIZE = array.array("i").itemsize


class Inbox:
    """The receiving side of a connection. Owns the descriptors in it."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._sock = sock
        self._limits = limits
        self._frames = Frames(largest=LARGEST_CALL)
        self._waiting: deque[Frame] = deque()
        self._ancillary = socket.CMSG_SPACE(limits.fds * _FD_SIZE)
        self.begun_at: float | None = None
        """When the message began that has not ended."""
        self.broken: BadMessage | None = None
        """Why nothing is read any more; to be answered after the messages that are whole."""

    def __len__(self) -> int:
        return len(self._waiting)

    def receive(self, now: float, *, fds_held: int) -> bool:
        """Take what has arrived; False at the end of the stream. Raises OSError when there is nothing to read from.

        `fds_held`: descriptors of this client that calls in progress hold.
        """
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(_AT_ONCE, self._ancillary, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return True
        if not data:
            if self._frames.partial:
                self.broken = BadMessage("the message does not end with NUL")
            return False
        fds = _descriptors(ancillary)
        frames = self._frames.feed(data, fds)
        self._waiting += frames
        if frames or self.begun_at is None:
            self.begun_at = now if self._frames.partial else None
        if self._frames.oversized:
            self.broken = BadMessage(f"the message is larger than {LARGEST_CALL} bytes")
        if flags & socket.MSG_CTRUNC or (fds and self._fds_waiting() + fds_held > self._limits.fds):
            self.broken = BadMessage(f"more than {self._limits.fds} file descriptors at once, or mlosd has none left")
        return True

    def take(self) -> Frame:
        """The oldest whole message; its descriptors are now the caller's."""
        return self._waiting.popleft()

    def forget(self) -> None:
        """Drop everything that nobody took."""
        close_passed(self._frames.abandon())
        for frame in self._waiting:
            close_passed(frame.fds)
        self._waiting.clear()
        self.begun_at = None

    def check_deadline(self, now: float) -> None:
        """Give up on a message that takes too long to end."""
        if self.begun_at is not None and now - self.begun_at > self._limits.unfinished:
            self.begun_at = None
            self.broken = BadMessage(f"the message did not end within {self._limits.unfinished:g} s")

    def _fds_waiting(self) -> int:
        return self._frames.fds_held + sum(len(frame.fds) for frame in self._waiting)


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % _FD_SIZE])
    return list(fds)
