"""A connection to the daemon: one call, a stream of replies, or many calls under way at once."""

import os
import select
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from mlosd.core.errors import MlosError, Unreachable
from mlosd.wire import address
from mlosd.wire.address import StrPath
from mlosd.wire.frames import Frames
from mlosd.wire.message import LARGEST_REPLY, Call, Reply, decode_reply, encode_call, error_of

UNDER_WAY = 256
"""As many calls as the daemon works on at once for one connection."""
_AT_ONCE = 1 << 16

Parameters = dict[str, Any]


class Connection:
    """A connected socket. Every method raises Unreachable when the daemon goes away, else what the daemon answered."""

    def __init__(self, connected: socket.socket) -> None:
        self._sock = connected
        self._frames = Frames(largest=LARGEST_REPLY)
        self._replies: deque[Reply] = deque()

    @classmethod
    def open(cls, path: StrPath) -> "Connection":
        """Connect to the daemon that listens at `path`."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with address.short(path) as name:
                connected.connect(name)
        except OSError as error:
            connected.close()
            raise _unreachable(path, error) from error
        return cls(connected)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def fileno(self) -> int:
        """For poll(2): readable when feed() has something to take."""
        return self._sock.fileno()

    def call(self, method: str, parameters: Parameters) -> Parameters:
        """Call, and wait for the only reply."""
        self.send(Call(method, parameters))
        return _result(self._next())

    def stream(self, method: str, parameters: Parameters) -> Iterator[Parameters]:
        """Call with "more", and wait for each reply. The connection is closed when the iterator is, before its end."""
        return self.call_with_fds(method, parameters, fds=())

    def call_with_fds(self, method: str, parameters: Parameters, *, fds: Sequence[int]) -> Iterator[Parameters]:
        """Call with "more" and pass descriptors along; they stay the caller's, too."""
        self.send(Call(method, parameters, more=True), fds=fds)
        return self._stream()

    def pipeline(self, calls: Iterable[tuple[str, Parameters]]) -> Iterator[Parameters | MlosError]:
        """Call many times without waiting for each answer; the replies, and errors, in the order of the calls."""
        source = iter(calls)
        unsent = bytearray()
        under_way, exhausted = 0, False
        try:
            while True:
                while not exhausted and under_way < UNDER_WAY and len(unsent) < _AT_ONCE:
                    for method, parameters in source:
                        unsent += encode_call(Call(method, parameters))
                        under_way += 1
                        break
                    else:
                        exhausted = True
                if not under_way:
                    return
                self._exchange(unsent)
                for reply in self.messages():
                    under_way -= 1
                    yield error_of(reply) or reply.parameters
        finally:
            if under_way:
                self.close()

    def send(self, call: Call, *, fds: Sequence[int] = ()) -> None:
        """Send a call, without waiting for anything."""
        data = encode_call(call)
        try:
            sent = socket.send_fds(self._sock, [data], list(fds)) if fds else 0
            if sent < len(data):
                self._sock.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._last_word() from error

    def feed(self) -> bool:
        """Take what has arrived, without waiting; False when the daemon has hung up."""
        try:
            data = self._sock.recv(_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        return self._take(data)

    def messages(self) -> Iterator[Reply]:
        """The replies that feed() has completed. Use wire.message.error_of() to tell errors."""
        while self._replies:
            yield self._replies.popleft()

    def _take(self, data: bytes) -> bool:
        self._replies += [decode_reply(frame.data) for frame in self._frames.feed(data)]
        if self._frames.oversized:
            raise Unreachable(f"the daemon sent a reply larger than {LARGEST_REPLY >> 20} MiB")
        return bool(data)

    def _stream(self) -> Iterator[Parameters]:
        more, empty_is_a_reply = True, True
        try:
            while more:
                reply = self._next()
                more = reply.continues
                parameters = _result(reply)
                # A stream that had nothing more to say when it ended says so with an empty reply.
                if parameters or more or empty_is_a_reply:
                    yield parameters
                empty_is_a_reply = False
        finally:
            if more:
                self.close()

    def _next(self) -> Reply:
        while not self._replies:
            try:
                data = self._sock.recv(_AT_ONCE)
            except ConnectionResetError:
                data = b""
            if not self._take(data):
                raise _hung_up()
        return self._replies.popleft()

    def _exchange(self, unsent: bytearray) -> None:
        """Send some, receive some: neither side must wait for the other to read."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | (select.POLLOUT if unsent else 0))
        ((_, events),) = poll.poll()
        if events & select.POLLOUT:
            try:
                del unsent[: self._sock.send(unsent, socket.MSG_DONTWAIT)]
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                raise self._last_word() from None
        if events & ~select.POLLOUT and not self.feed():
            raise _hung_up()

    def _last_word(self) -> MlosError:
        """Why the daemon hung up on us, if it said so."""
        try:
            return error_of(self._next()) or _hung_up()
        except Unreachable as error:
            return error


def _result(reply: Reply) -> Parameters:
    error = error_of(reply)
    if error is not None:
        raise error
    return reply.parameters


def _hung_up() -> Unreachable:
    return Unreachable("mlosd hung up", hint="its log says why: journalctl -u mlosd")


def _unreachable(path: StrPath, error: OSError) -> Unreachable:
    where = os.fspath(path)
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return Unreachable(
                f"there is no socket at {where}",
                hint="start mlosd (systemctl start mlosd), or say where it is: --root DIR, MLOSD_SOCKET=PATH",
            )
        case ConnectionRefusedError():
            return Unreachable(
                f"nobody answers at {where}", hint="mlosd is not running: systemctl start mlosd, or mlosd --root DIR"
            )
        case PermissionError():
            return Unreachable(
                f"you may not connect to {where}", hint="everybody should be able to: look at the folders on the way"
            )
    return Unreachable(f"{where}: {error.strerror}")
