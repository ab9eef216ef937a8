"""Serves Varlink on a Unix socket: accepts clients, keeps count of them, and lets them go."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable

from mlosd.api import caller as callers
from mlosd.api.answering import Service
from mlosd.api.caller import Caller
from mlosd.api.connection import Connection
from mlosd.core.errors import MlosError, Refused
from mlosd.core.events import Failed
from mlosd.kernel.passed_fds import close_connection
from mlosd.wire.message import encode_reply, reply_of

_AT_ONCE = 64
_PAUSE = 0.5
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Server:
    """The clients of the daemon. Must run inside an asyncio event loop."""

    def __init__(self, service: Service, *, identify: Callable[[socket.socket], Caller] = callers.of_socket) -> None:
        self._service = service
        self._identify = identify
        self._loop = asyncio.get_running_loop()
        self._listeners: set[socket.socket] = set()
        self._connections: set[Connection] = set()
        self._per_uid: Counter[int] = Counter()
        self._nobody_left: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def serve(self, listener: socket.socket) -> None:
        """Accept clients on a listening, non-blocking socket, which is the server's from now on."""
        self._listeners.add(listener)
        self._loop.add_reader(listener, self._accept, listener)

    async def close(self, *, grace: float = 5.0) -> None:
        """Stop listening, let calls in progress end for `grace` seconds, then cut them off.

        The socket file is left: whoever starts next replaces it, and under socket activation it is not ours.
        """
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()
        for connection in tuple(self._connections):
            connection.stop()
        await self._wait_for_all(grace)
        for connection in tuple(self._connections):
            connection.abort()
        await self._wait_for_all(grace)

    async def _wait_for_all(self, seconds: float) -> None:
        if self._connections:
            self._nobody_left = self._loop.create_future()
            await asyncio.wait([self._nobody_left], timeout=seconds)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connected, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(listener, error)
                    return
                continue  # that client is gone already (accept(2): ECONNABORTED and the like)
            connected.setblocking(False)
            try:
                self._welcome(connected)
            except MlosError as error:
                _turn_away(connected, error)
            except OSError as error:
                self._service.report(Failed("a client could not be identified", str(error)))
                close_connection(connected)

    def _welcome(self, connected: socket.socket) -> None:
        caller = self._identify(connected)
        try:
            self._check_room(caller)
        except Refused:
            caller.forget()
            raise
        self._per_uid[caller.uid] += 1
        self._connections.add(Connection(connected, caller, self._service, ended=self._ended))

    def _check_room(self, caller: Caller) -> None:
        limits = self._service.limits
        if self._per_uid[caller.uid] >= limits.connections_per_uid:
            raise Refused(
                f"user {callers.user_name(caller.uid)} has {limits.connections_per_uid} connections to mlosd already",
                hint="close some of them",
            )
        # Whatever others do, root gets in.
        if caller.uid != 0 and self._per_uid.total() - self._per_uid[0] >= limits.connections:
            raise Refused(f"mlosd has {limits.connections} connections already", hint="try again later")

    def _ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._per_uid[connection.caller.uid] -= 1
        if not self._per_uid[connection.caller.uid]:
            del self._per_uid[connection.caller.uid]
        if not self._connections and self._nobody_left is not None and not self._nobody_left.done():
            self._nobody_left.set_result(None)

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Without descriptors or memory the socket stays readable: do not spin on it."""
        self._service.report(Failed("no more clients for now", str(error)))
        self._loop.remove_reader(listener)
        self._loop.call_later(_PAUSE, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)


def _turn_away(connected: socket.socket, error: MlosError) -> None:
    try:
        connected.send(encode_reply(reply_of(error)))
    except OSError:
        pass  # gone already, or does not read: either way there is nobody to tell
    finally:
        close_connection(connected)
