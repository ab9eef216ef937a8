"""io.mlosd.Daemon."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller
from mlosd.config.load import Origin
from mlosd.core.events import Event

Parameters = dict[str, Any]
BACKLOG = 1000


class Daemon:
    """The methods of io.mlosd.Daemon. `status` gives the fields of a Status reply."""

    def __init__(self, *, status: Callable[[], Parameters], settings: tuple[Origin, ...]) -> None:
        self._status = status
        self._settings = settings
        self._watching: set[asyncio.Queue[Event]] = set()

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Daemon.Status": self.status,
            "io.mlosd.Daemon.Config": self.config,
            "io.mlosd.Daemon.Watch": self.watch,
        }

    def emit(self, event: Event) -> None:
        """Pass an event to everybody who watches; one who does not read loses the oldest."""
        for queue in self._watching:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    async def status(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return self._status()

    async def config(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"settings": [{"key": o.key, "value": o.value, "origin": str(o.file)} for o in self._settings]}

    async def watch(
        self, caller: Caller, parameters: Parameters, call: CallContext
    ) -> AsyncGenerator[Parameters, None]:
        queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self._watching.add(queue)
        try:
            while True:
                event = await queue.get()
                yield {"event": {"event": type(event).__name__, "at": time.time(), "fields": event.logged()}}
        finally:
            self._watching.discard(queue)
