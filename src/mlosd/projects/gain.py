"""Measure what warming is worth: how long runs of a project wait for storage, found cold and found warm.

A run is cold when nearly nothing of what the last one read was in memory as it started, warm when nearly all was, by
whatever cause. What counts is the time in which some process of the run waited for I/O (the io.pressure of its cgroup):
of a run that computes for hours, the part that warming can take away.
"""

import asyncio
import os
from dataclasses import dataclass

from mlosd.core.own_thread import in_own_thread
from mlosd.kernel import mountinfo
from mlosd.kernel.cachestat import resident
from mlosd.projects.resolve import Found, Reader, Resolver
from mlosd.store.warming import Kind, Row, Warming

LOOKED_AT = 64
SMALLEST = 16 << 20
"""Fewer bytes than this are read in no time: their difference would be noise."""
COLD, WARM = 0.2, 0.8


@dataclass(frozen=True, slots=True)
class _Start:
    """What a run found in memory. Bytes."""

    project: str
    resident: int
    total: int


class Gains:
    """Told of the start and of the end of each run."""

    def __init__(self, warming: Warming) -> None:
        self._warming = warming
        self._starts: dict[int, asyncio.Task[_Start | None]] = {}

    def begin(self, run: int, project: str | None, reader: Reader) -> None:
        """A run starts; without a project there is nothing to compare it with."""
        if project is not None and os.geteuid() == 0:
            self._starts[run] = asyncio.get_running_loop().create_task(self._look(project, reader))

    def end(self, run: int, waited_us: int | None) -> None:
        """It has ended well, and waited so long for storage; None: it did not end well, or nobody can tell."""
        looked = self._starts.pop(run, None)
        if looked is None:
            return
        if not looked.done() or looked.cancelled() or looked.exception() is not None:
            looked.cancel()
            return
        start = looked.result()
        if start is not None and waited_us is not None and (kind := kind_of(start.resident, start.total)):
            recorded = self._warming.record(start.project, kind, bytes_=start.total, seconds=waited_us / 1e6)
            # On a full disk one figure fewer is no loss.
            recorded.add_done_callback(lambda future: future.cancelled() or future.exception())

    async def _look(self, project: str, reader: Reader) -> _Start | None:
        rows = self._warming.largest(project, most=LOOKED_AT)
        if not rows:
            return None
        there, total = await in_own_thread(lambda: in_memory(rows, reader))
        return _Start(project, there, total)


def kind_of(there: int, total: int) -> Kind | None:
    """What to call a run that found so many bytes of its files in memory; None where that tells nothing."""
    if total < SMALLEST:
        return None
    if there <= COLD * total:
        return "cold"
    return "warm" if there >= WARM * total else None


def in_memory(rows: list[Row], reader: Reader) -> tuple[int, int]:
    """How many bytes of these files are in memory, of how many. Raises OSError where the kernel does not tell."""
    found = Found()
    resolver = Resolver(reader if reader.uid else None, remote=False, mounts=mountinfo.read())
    try:
        resolver.find(rows, found)
        there = 0
        for target in found.targets:
            with resolver.opened(target) as fd:
                there += resident(fd, offset=0, length=target.size)
        return there, sum(target.size for target in found.targets)
    finally:
        resolver.close()
