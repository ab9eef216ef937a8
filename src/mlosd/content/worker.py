"""The process that looks into files: `python -P -m mlosd.content.worker FD PACE`.

It has one socket, FD, and confines itself before it takes the first request. Owns nothing that outlives a request.
"""

import array
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from mlosd.content import digest, messages, sandbox
from mlosd.content.describe import describe
from mlosd.content.format import known
from mlosd.content.identity import Content, ContentUnreadable, Identity
from mlosd.content.messages import Answer
from mlosd.content.window import Window

# Of its own time, for one file's header, or for a piece of a long one. Reading a sane header takes milliseconds.
CPU_SECONDS = 5.0
_BEAT_SECONDS = 0.5
_MOST_FDS = 253


class Worker:
    """Answers requests until the socket closes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._answers: list[str] = []
        self._answers_size = 0
        self._sent_at = time.monotonic()

    def serve(self) -> None:
        """Take requests, one after the other."""
        for request, fds in self._requests():
            per_file = 2 if request.op == "copy" else 1
            try:
                for number, name in enumerate(request.names):
                    self._put(self._answer(request.op, fds[number * per_file : (number + 1) * per_file], name))
            finally:
                for fd in fds:
                    os.close(fd)
            self._send()

    def _requests(self) -> Iterator[tuple[messages.Request, Sequence[int]]]:
        room = socket.CMSG_SPACE(_MOST_FDS * array.array("i").itemsize)
        while True:
            packet, ancillary, _, _ = self._sock.recvmsg(messages.PACKET, room, socket.MSG_CMSG_CLOEXEC)
            if not packet:
                return
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data)
            yield messages.decode_request(packet), fds

    def _answer(self, op: str, fds: Sequence[int], name: bytes) -> str:
        self._rearm()
        try:
            return messages.encode_answer(_WORK[op](fds, name, self._beat))
        except ContentUnreadable as e:
            return messages.encode_answer(e)
        except OSError as e:
            return messages.encode_answer(ContentUnreadable(e.strerror or str(e)))
        except MemoryError:
            return messages.encode_answer(ContentUnreadable("took too much memory"))

    def _put(self, answer: str) -> None:
        if self._answers_size + len(answer) > messages.ROOM_FOR_ANSWERS:
            self._send()
        self._answers.append(answer)
        self._answers_size += len(answer)
        if time.monotonic() - self._sent_at > _BEAT_SECONDS:
            self._send()

    def _beat(self) -> None:
        """Between two pieces of a long file: say that it goes on. Ends the process when nobody listens any more."""
        if time.monotonic() - self._sent_at > _BEAT_SECONDS:
            self._send()
            self._rearm()

    def _send(self) -> None:
        self._sock.send(messages.encode_answers(self._answers))
        self._answers, self._answers_size = [], 0
        self._sent_at = time.monotonic()

    @staticmethod
    def _rearm() -> None:
        # SIGPROF is not handled: whatever the process does when its time is over, it ends.
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)


def _identify(fds: Sequence[int], name: bytes, _: Callable[[], None]) -> Identity:
    return describe(Window.of_fd(fds[0], size=digest.regular(fds[0]).size, name=name))


def _read(fds: Sequence[int], name: bytes, beat: Callable[[], None]) -> Content:
    fd = fds[0]
    before = digest.regular(fd)
    window = Window.of_fd(fd, size=before.size, name=name)
    identity = describe(window)
    of_all = digest.of(window.head) if window.is_whole else digest.sha256(fd, before.size, beat)
    digest.require_same(fd, before)
    return Content(identity, of_all, before.size)


def _copy(fds: Sequence[int], name: bytes, beat: Callable[[], None]) -> Content:
    """What is told is what `to` has: it is read from there, or written there from what was read."""
    fd, to = fds
    before = digest.regular(fd)
    digest.regular(to)
    if digest.reflink(fd, to):
        digest.require_same(fd, before)
        of_all = digest.sha256(to, before.size, beat)
        identity = describe(Window.of_fd(to, size=before.size, name=name))
    else:
        of_all = digest.copy(fd, to, before.size, beat)
        identity = describe(Window.of_fd(fd, size=before.size, name=name))
        digest.require_same(fd, before)
    return Content(identity, of_all, before.size)


_WORK: dict[str, Callable[[Sequence[int], bytes, Callable[[], None]], Answer]] = {
    "identify": _identify,
    "read": _read,
    "copy": _copy,
}


def _use_everything_once() -> None:
    """What is loaded at first use only (the codecs, OpenSSL) must be there before files cannot be opened."""
    known()
    digest.of(b"")
    for encoding in ("utf-8", "latin-1", "utf-16", "ascii"):
        b"".decode(encoding)


def main() -> int:
    """Confine ourselves, say how well, and serve."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    _use_everything_once()
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for standard in range(3):
        os.dup2(nowhere, standard)
    layers = sandbox.enter(sandbox.Pace(sys.argv[2]))
    sock.send(messages.encode_ready([(layer.name, layer.lacking) for layer in layers]))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the daemon is gone
        Worker(sock).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
