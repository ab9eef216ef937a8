"""Bytes on their way to one client: written when the socket takes them, never waited for by anybody else."""

import asyncio
import socket
from collections.abc import Callable


class Outbox:
    """The unread replies of a connection. Does not bound itself: the connection looks at `unread`."""

    def __init__(self, sock: socket.socket, *, moved: Callable[[], None], lost: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._moved = moved
        self._lost = lost
        self._queued: list[bytes] = []
        self._current = memoryview(b"")
        self._scheduled = False
        self._blocked = False
        self._closed = False
        self.unread = 0
        self.moved_at = 0.0
        """When the client last read something, or had nothing to read."""

    def put(self, data: bytes) -> None:
        """Send `data` after everything put before."""
        if self._closed:
            return
        if not self.unread:
            self.moved_at = self._loop.time()
        self.unread += len(data)
        self._queued.append(data)
        if not self._scheduled and not self._blocked:
            # At the end of this round of the loop: the replies to many calls go out in one send(2).
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Forget what is unread. The socket stays the caller's."""
        self._closed = True
        self._unblock()
        self._queued.clear()
        self._current = memoryview(b"")
        self.unread = 0

    def _flush(self) -> None:
        self._scheduled = False
        while not self._closed and self.unread:
            if not self._current:
                self._current = memoryview(b"".join(self._queued))
                self._queued.clear()
            try:
                sent = self._sock.send(self._current)
            except (BlockingIOError, InterruptedError):
                self._block()
                break
            except OSError:
                self._lost()
                return
            self._current = self._current[sent:]
            self.unread -= sent
            self.moved_at = self._loop.time()
        else:
            self._unblock()
        if not self._closed:
            self._moved()

    def _block(self) -> None:
        if not self._blocked:
            self._blocked = True
            self._loop.add_writer(self._sock, self._flush)

    def _unblock(self) -> None:
        if self._blocked:
            self._blocked = False
            self._loop.remove_writer(self._sock)
