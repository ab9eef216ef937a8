"""io.mlosd.Daemon."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller
from mlosd.config.settings import Origin
from mlosd.core.events import Event

Parameters = dict[str, Any]
BACKLOG = 1000


class Watchers:
    """Clients that watch events. One who does not read loses the oldest."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Event]] = set()

    def tell(self, event: Event) -> None:
        """Pass an event to everybody who watches."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    async def follow(self) -> AsyncGenerator[Event, None]:
        """Every event from now on."""
        queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)


class Daemon:
    """The methods of io.mlosd.Daemon. `status` gives the fields of a Status reply."""

    def __init__(self, status: Callable[[], Parameters], watchers: Watchers, settings: tuple[Origin, ...]) -> None:
        self._status = status
        self._watchers = watchers
        self._settings = settings

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Daemon.Status": self.status,
            "io.mlosd.Daemon.Config": self.config,
            "io.mlosd.Daemon.Watch": self.watch,
        }

    async def status(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return self._status()

    async def config(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"settings": [{"key": o.key, "value": o.value, "origin": o.file} for o in self._settings]}

    async def watch(
        self, caller: Caller, parameters: Parameters, call: CallContext
    ) -> AsyncGenerator[Parameters, None]:
        async with aclosing(self._watchers.follow()) as events:
            async for event in events:
                yield {"event": {"event": type(event).__name__, "at": time.time(), "fields": event.logged()}}
