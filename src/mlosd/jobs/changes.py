"""Tell whoever waits for a job that its state changed. Owns the waiting clients, not the jobs."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable

from mlosd.jobs.job import Job
from mlosd.jobs.state import Done


class Changes:
    """A stream of states per job; a reader that is slow sees the latest, never a backlog."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = defaultdict(set)

    def tell(self, id_: int) -> None:
        """The job changed."""
        if id_ in self._waiting:
            for event in self._waiting[id_]:
                event.set()

    async def follow(self, id_: int, look: Callable[[int], Job]) -> AsyncGenerator[Job, None]:
        """The job now and after each change, until it is DONE."""
        event = asyncio.Event()
        self._waiting[id_].add(event)
        try:
            while True:
                event.clear()
                job = look(id_)
                yield job
                if isinstance(job.state, Done):
                    return
                await event.wait()
        finally:
            self._waiting[id_].discard(event)
            if not self._waiting[id_]:
                del self._waiting[id_]
