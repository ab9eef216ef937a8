"""One client of the daemon: its calls run side by side and are answered in order, and it never makes another wait."""

import asyncio
import select
import socket
from collections.abc import Callable

from mlosd.api.answering import Client, Service, answer
from mlosd.api.call import CallContext
from mlosd.api.caller import Caller
from mlosd.api.inbox import Inbox
from mlosd.api.outbox import Outbox
from mlosd.api.pipeline import Pipeline, Place
from mlosd.core.errors import BadMessage
from mlosd.kernel.passed_fds import close_connection, close_passed
from mlosd.wire.frames import Frame
from mlosd.wire.message import Call, decode_call, encode_reply, reply_of


class Connection:
    """A connected socket, from accept(2) until its last call has ended."""

    def __init__(
        self, sock: socket.socket, caller: Caller, service: Service, *, ended: Callable[["Connection"], None]
    ) -> None:
        self.caller = caller
        self._sock = sock
        self._service = service
        self._limits = service.limits
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox(sock, self._limits)
        self._outbox = Outbox(sock, moved=self._go_on, lost=self._lose_client)
        self._pipeline = Pipeline(self._send)
        self._calm_again: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reading = False
        self._input_over = False
        self._streams_over = False
        self._silent = False
        self._lost = False
        self._go_on()

    def stop(self) -> None:
        """Take no more calls, end the streams, answer the rest, then close."""
        self._input_over = True
        self._inbox.forget()
        self._end_streams()
        self._go_on()

    def abort(self) -> None:
        """Close now, and cancel what is in progress."""
        self._lose()
        for place in self._pipeline:
            if place.task is not None:
                place.task.cancel()

    def _receive(self) -> None:
        in_calls = sum(place.context.fds_held for place in self._pipeline if place.context)
        try:
            more = self._inbox.receive(self._loop.time(), fds_held=in_calls)
        except OSError:
            self._lose_client()
            return
        if not more:
            self._input_over = True
            if self._hung_up():
                self._lose_client()
        self._go_on()

    def _go_on(self) -> None:
        """Begin the calls that there is room for, read on or pause, and close when everything is done."""
        if self._lost:
            return
        while self._inbox and self._has_room():
            self._begin(self._inbox.take())
        if self._inbox.broken and not self._inbox:
            self._refuse(self._inbox.broken)
        if self._input_over and not self._inbox and not self._pipeline and not self._outbox.unread:
            self._lose()
            return
        if self._calm_again is not None and not self._calm_again.done() and self._is_calm():
            self._calm_again.set_result(None)
        self._read_or_pause()
        if self._timer is None and self._has_deadlines():
            self._timer = self._loop.call_later(self._limits.tick, self._tick)

    def _begin(self, frame: Frame) -> None:
        try:
            call = decode_call(frame.data)
        except BadMessage as error:
            close_passed(frame.fds)
            self._refuse(error)
            return
        place = self._pipeline.open(len(frame.data))
        place.context = CallContext(call.method, more=call.more, fds=frame.fds)
        place.task = self._loop.create_task(self._answer(place, place.context, call))

    def _refuse(self, error: BadMessage) -> None:
        """Nothing that follows an unreadable message can be trusted to be one."""
        self._input_over = True
        self._inbox.forget()
        self._inbox.broken = None
        place = self._pipeline.open(0)
        self._pipeline.reply(place, encode_reply(reply_of(error)))
        self._pipeline.finish(place)

    async def _answer(self, place: Place, context: CallContext, call: Call) -> None:
        client = Client(
            self.caller,
            send=lambda data: self._pipeline.reply(place, data),
            turn=lambda: self._turn(place),
            ready=self._ready,
            cut=self._cut,
        )
        try:
            await answer(self._service, client, call, context)
        finally:
            self._pipeline.finish(place)
            if self._lost and not self._pipeline:
                self._end()
            self._go_on()

    async def _turn(self, place: Place) -> None:
        place.stream = True
        if self._streams_over:
            raise asyncio.CancelledError
        await self._pipeline.turn(place)

    async def _ready(self) -> None:
        while not self._is_calm() and not self._lost:
            # At most one stream runs on a connection, the first in line: nobody else waits here.
            self._calm_again = self._loop.create_future()
            await self._calm_again

    def _end_streams(self) -> None:
        self._streams_over = True
        for place in self._pipeline:
            if place.stream and place.task is not None:
                place.task.cancel()

    def _cut(self) -> None:
        """Send nothing more: a call goes unanswered, and the next reply would be taken for its own."""
        self._silent = True
        self._input_over = True

    def _send(self, data: bytes) -> None:
        if self._outbox.unread > self._limits.unread:
            self._cut()
            self._loop.call_soon(self._lose_client)
        if not self._silent:
            self._outbox.put(data)

    def _has_room(self) -> bool:
        return (
            len(self._pipeline) < self._limits.calls
            and self._pipeline.call_bytes < self._limits.call_bytes
            and self._is_calm()
        )

    def _is_calm(self) -> bool:
        return self._outbox.unread + self._pipeline.waiting_bytes <= self._limits.calm

    def _read_or_pause(self) -> None:
        want = not self._input_over and not self._inbox and self._has_room()
        if want and not self._reading:
            self._loop.add_reader(self._sock, self._receive)
            if self._inbox.begun_at is not None:
                self._inbox.begun_at = self._loop.time()
        elif self._reading and not want:
            self._loop.remove_reader(self._sock)
        self._reading = want

    def _has_deadlines(self) -> bool:
        return self._inbox.begun_at is not None or self._outbox.unread > 0 or not self._reading

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._reading:
            self._inbox.check_deadline(now)
        elif self._hung_up():  # which nobody else would notice
            self._lose_client()
        if self._outbox.unread and now - self._outbox.moved_at > self._limits.stalled:
            self._lose_client()
        self._go_on()

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._sock, 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    def _lose_client(self) -> None:
        """The client is gone, or has to go. Its streams end; its other calls run to their end."""
        for place in self._pipeline:
            if place.context is not None:
                place.context.hung_up = True
        self._lose()

    def _lose(self) -> None:
        if self._lost:
            return
        self._lost = True
        self._silent = True
        if self._reading:
            self._loop.remove_reader(self._sock)
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.close()
        close_connection(self._sock)
        self._inbox.forget()
        self._end_streams()
        if not self._pipeline:
            self._end()

    def _end(self) -> None:
        self.caller.forget()
        self._ended(self)
