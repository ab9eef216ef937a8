"""Open a project: its rows in memory, its files found again, and what the next run will read in the page cache.

Owns how many projects are warmed at once. Must not own: what to warm (store.warming), how (projects.warm).
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlosd.core import events
from mlosd.core.errors import Refused
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel import meminfo, mountinfo
from mlosd.projects.resolve import Found, Reader, Resolver, Target, is_on_remote
from mlosd.projects.warm import Limits, Progress, Warmth, rate_of_memory, warm
from mlosd.store.projects import ProjectRow
from mlosd.store.warming import Gain, Plan, Warming

View = dict[str, Any]

MOST_AT_ONCE = 4
TELL_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Policy:
    """How much warming may cost. `percent`: of the memory that is available."""

    percent: int
    reserve: int
    pressure: float
    threads: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What whoever opens a project asks for. `budget`: bytes; `force`: warm it though that was not worth it."""

    budget: int | None = None
    force: bool = False
    remote: bool = False


@dataclass(slots=True)
class _Opening:
    """One project on its way into memory."""

    found: Found = field(default_factory=Found)
    total: int = 0
    seconds: float = 0.0
    memory_rate: float | None = None


class Opening:
    """Opens projects for callers."""

    def __init__(self, *, warming: Warming, policy: Policy, emit: Callable[[events.Event], None]) -> None:
        self._warming = warming
        self._policy = policy
        self._emit = emit
        self._under_way = 0

    async def open(self, project: ProjectRow, reader: Reader, wish: Wish) -> AsyncGenerator[View, None]:
        """How far it is, again and again; at last what came of it. Raises Refused."""
        if self._under_way >= MOST_AT_ONCE:
            raise Refused(f"{MOST_AT_ONCE} projects are being opened already", hint="wait until one is done")
        mounts = mountinfo.read()
        if not wish.remote and is_on_remote(Path(project.root), mounts):
            raise Refused(
                f"{project.root} is on a network file system, which may never answer",
                hint="if it does answer: mlosctl project open --network",
            )
        plan, gain = self._warming.plan(project), self._warming.gain(project.id)
        # As root we may read everything; whoever asks may not, unless that is root.
        resolver = Resolver(reader if reader.uid and os.geteuid() == 0 else None, remote=wish.remote, mounts=mounts)
        changed, loop = asyncio.Event(), asyncio.get_running_loop()
        warmth = Warmth(self._limits(wish), told=_seldom(lambda: loop.call_soon_threadsafe(changed.set)))
        if gain is not None and not gain.is_worth_it and not wish.force:
            warmth.stop(f"warming saved {gain.share:.0%} of the wait in {gain.pairs} measured pairs: it is off")
        opening = _Opening()
        self._under_way += 1
        work = asyncio.ensure_future(
            in_own_thread(lambda: self._work(opening, plan=plan, resolver=resolver, warmth=warmth))
        )
        work.add_done_callback(lambda _: changed.set())
        try:
            while not work.done():
                await changed.wait()
                changed.clear()
                if not work.done():
                    yield {"progress": _progress(warmth.progress, opening.total), "opened": None}
            await work
        finally:
            self._under_way -= 1
            if not work.done():
                warmth.stop("whoever asked for it went away")
                work.cancel()
        view = _view(project, plan, opening, warmth, gain)
        self._emit(events.ProjectChanged(project.name, f"opened, {view['warmed'] >> 20} MiB warmed"))
        yield {"progress": _progress(warmth.progress, opening.total), "opened": view}

    def _limits(self, wish: Wish) -> Limits:
        share = meminfo.read().available * self._policy.percent // 100
        budget = share if wish.budget is None else min(wish.budget, share)
        return Limits(budget=budget, reserve=self._policy.reserve, pressure=self._policy.pressure)

    def _work(self, opening: _Opening, *, plan: Plan, resolver: Resolver, warmth: Warmth) -> None:
        """In a thread of its own: looking at a file may take long, and on a bad disk for ever."""
        try:
            targets = _in_order(plan, resolver, opening.found)
            opening.total = sum(target.size for target in targets)
            began = time.monotonic()
            warm(targets, resolver, warmth, threads=self._policy.threads)
            opening.seconds = time.monotonic() - began
            if targets and warmth.progress.warmed:
                opening.memory_rate = rate_of_memory(max(targets, key=lambda target: target.size), resolver)
        finally:
            resolver.close()


def estimate(*, warmed: int, seconds: float, memory_rate: float | None) -> float:
    """Seconds that the next run will not wait: those it took to read this, less those to read it from memory."""
    return max(0.0, seconds - warmed / memory_rate) if memory_rate else seconds


def _in_order(plan: Plan, resolver: Resolver, found: Found) -> list[Target]:
    """What the last run used, in its order; then the rest of the project, small files first."""
    resolver.find(plan.used, found)
    used = len(found.targets)
    resolver.find(plan.rest, found)
    return found.targets[:used] + sorted(found.targets[used:], key=lambda target: target.size)


def _seldom(tell: Callable[[], object]) -> Callable[[], None]:
    last = 0.0

    def told() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TELL_EVERY:
            last = now
            tell()

    return told


def _progress(progress: Progress, total: int) -> View:
    return {"done": progress.done, "total": total}


def _view(project: ProjectRow, plan: Plan, opening: _Opening, warmth: Warmth, gain: Gain | None) -> View:
    progress, found = warmth.progress, opening.found
    measured = gain is not None
    saves = gain.seconds if gain is not None else None
    if saves is None and progress.warmed:
        saves = estimate(warmed=progress.warmed, seconds=opening.seconds, memory_rate=opening.memory_rate)
    return {
        "project": project.name,
        "run": plan.run,
        "resources": sum(found.by.values()) + sum(found.without.values()),
        "by_handle": found.by["handle"],
        "by_path": found.by["path"],
        "missing": found.without["missing"],
        "refused": found.without["refused"],
        "remote": found.without["remote"],
        "total": opening.total,
        **asdict(progress),
        "seconds": opening.seconds,
        "saves": saves,
        "measured": measured,
        "pairs": gain.pairs if gain is not None else 0,
        "stopped": warmth.stopped,
    }
