"""The calls of one connection that are not answered yet, and the order in which their replies leave."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from mlosd.api.call import CallContext


class Place:
    """The place in line of one call."""

    __slots__ = ("call_bytes", "context", "done", "stream", "task", "turn", "waiting")

    def __init__(self, call_bytes: int) -> None:
        self.call_bytes = call_bytes
        self.context: CallContext | None = None
        self.task: asyncio.Task[None] | None = None
        self.stream = False
        self.done = False
        self.waiting: list[bytes] = []
        self.turn: asyncio.Future[None] | None = None


class Pipeline:
    """Calls run side by side; their replies leave in the order of the calls."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._places: deque[Place] = deque()
        self.call_bytes = 0
        """Size of the calls that are not answered."""
        self.waiting_bytes = 0
        """Size of the replies whose turn has not come."""

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._places))

    def open(self, call_bytes: int) -> Place:
        """A place at the end of the line."""
        place = Place(call_bytes)
        self.call_bytes += call_bytes
        self._places.append(place)
        return place

    def reply(self, place: Place, data: bytes) -> None:
        """Send a reply, now or when it is its turn."""
        if place is self._places[0]:
            self._send(data)
        else:
            place.waiting.append(data)
            self.waiting_bytes += len(data)

    def finish(self, place: Place) -> None:
        """The call is answered; whatever waited behind it goes on."""
        place.done = True
        self.call_bytes -= place.call_bytes
        while self._places and self._places[0].done:
            self._places.popleft()
            if self._places:
                self._release(self._places[0])

    async def turn(self, place: Place) -> None:
        """Wait until all calls before this one are answered."""
        if place is not self._places[0]:
            place.turn = asyncio.get_running_loop().create_future()
            await place.turn

    def _release(self, place: Place) -> None:
        for data in place.waiting:
            self.waiting_bytes -= len(data)
            self._send(data)
        place.waiting.clear()
        if place.turn is not None and not place.turn.done():
            place.turn.set_result(None)
