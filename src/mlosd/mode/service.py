"""ML mode: leases come and go, and the machine follows. Owns the leases and what is held; must not own: jobs.

Whatever happens ends in `_follow`: the leases that live are merged, and the machine is made what they come to, in one
go at a time. No leases: everything is put back.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mlosd.core import events
from mlosd.core.errors import MlosError, NotFound, Refused
from mlosd.core.own_thread import in_own_thread
from mlosd.mode import memory
from mlosd.mode.holders import Holders
from mlosd.mode.holds import Holds
from mlosd.mode.lease import Effective, Lease, merged
from mlosd.mode.machine import Machine, Planned
from mlosd.mode.plan import Plan
from mlosd.mode.reconcile import CoreRefused, RefusedStep
from mlosd.mode.scene import Setting
from mlosd.undo.change import Pending
from mlosd.undo.log import Busy, OtherFormat
from mlosd.undo.rollback import Leftover, Report

T = TypeVar("T")


@dataclass(slots=True)
class State:
    """What there is to tell. `drained`: what could not be put back; while there is any, no new mode begins."""

    plan: Plan = field(default_factory=lambda: Plan((), ()))
    refused: list[RefusedStep] = field(default_factory=list)
    drained: list[Leftover] = field(default_factory=list)
    kept: list[Leftover] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    since: float | None = None
    switch_ms: float | None = None


class ModeService:
    """`why_not`: why this daemon has no machine to change, in words; None: it has."""

    def __init__(
        self,
        machine: Machine,
        *,
        why_not: str | None,
        emit: Callable[[events.Event], None],
    ) -> None:
        self.machine = machine
        self.why_not = why_not
        self.leases: dict[int, Lease] = {}
        self.state = State()
        self.wish = Effective()
        self.extra: dict[str, Setting] = {}
        self.frozen: set[int] = set()
        self._emit = emit
        self._holders = Holders(self.ended)
        self._holds = Holds(self._hold_ended)
        self._busy = asyncio.Lock()
        self._last_id = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.on_change: list[Callable[[], None]] = []

    @property
    def holds(self) -> Holds:
        return self._holds

    async def open(self, is_running: Callable[[int], bool]) -> None:
        """Find again what an earlier daemon left: the mode goes on for who still holds it; else all is put back.

        `is_running`: whether a job of this number has processes.
        """
        if self.why_not:
            return
        for lease in memory.leases(self.machine.folder):
            self._last_id = max(self._last_id, lease.id)
            if lease.job is not None and not is_running(lease.job):
                continue
            try:
                self._holders.watch(lease)
            except NotFound:
                continue
            self.leases[lease.id] = lease
        self.frozen.update(memory.frozen(self.machine.folder))
        try:
            await self._follow()
        except (MlosError, OSError) as e:
            self._emit(events.Degraded(f"ML mode: {e}"))

    async def close(self, *, put_back: bool) -> None:
        """The daemon ends. `put_back`: the mode ends with it; else whoever comes after takes it up, or puts it back."""
        for task in tuple(self._tasks):
            task.cancel()
        self._holders.close()
        async with self._busy:
            if put_back and not self.why_not:
                self.leases.clear()
                await in_own_thread(self.machine.restore)
                memory.save(self.machine.folder, ())
            await self._holds.release_all()
            self.machine.close()

    def new_id(self) -> int:
        """The number of the next lease. Never one that an earlier daemon gave."""
        self._last_id += 1
        return self._last_id

    async def enter(self, lease: Lease) -> Lease:
        """Add a lease. Raises Refused (also CoreRefused), NotFound; then nothing of it is left."""
        self.require()
        if self.state.drained:
            raise Refused(
                f"ML mode is drained: {len(self.state.drained)} values could not be put back",
                hint="mlosctl mode status shows them; mlosctl mode restore tries again",
            )
        self._holders.watch(lease)
        self.leases[lease.id] = lease
        try:
            await self._follow()
        except BaseException:
            if lease.id in self.leases:
                self._drop(lease.id)
            if self.leases:
                await self._follow()
            else:
                memory.save(self.machine.folder, ())
            raise
        if lease.id in self.leases:  # its holder may have ended meanwhile
            self._emit(events.ModeChanged("entered", lease.who, str(lease.id)))
        return lease

    async def leave(self, id_: int, why: str) -> Lease:
        """End a lease. Raises NotFound."""
        if id_ not in self.leases:
            raise NotFound(f"there is no lease {id_}", hint="mlosctl mode status")
        lease = self._drop(id_)
        self._emit(events.ModeChanged(why, lease.who, str(id_)))
        await self._follow()
        return lease

    def ended(self, id_: int, why: str) -> None:
        """A lease ended by itself: its process, its job, its time."""
        if id_ in self.leases:
            lease = self._drop(id_)
            self._emit(events.ModeChanged(why, lease.who, str(id_)))
            self.soon()

    def _hold_ended(self, knob: str, how: str) -> None:
        """A lease of ours ended without us. Who types the panic chord wants out: everybody's mode ends."""
        if how == "panic":
            for id_ in tuple(self.leases):
                self.ended(id_, "the panic chord was typed")
        else:
            self._emit(events.Degraded(f"{knob} ended by itself; the rest of ML mode goes on"))

    def soon(self) -> None:
        """Follow what changed, without waiting for it."""

        async def work() -> None:
            try:
                await self._follow()
            except (MlosError, OSError) as e:
                self._emit(events.Degraded(f"ML mode: {e}"))

        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def restore(self) -> Report:
        """Whatever anybody wishes: end every lease and put everything back. Raises Refused."""
        self.require()
        for id_ in tuple(self.leases):
            lease = self._drop(id_)
            self._emit(events.ModeChanged("restored by hand", lease.who, str(id_)))
        async with self._busy:
            await self._holds.release_all()
            report = await in_own_thread(self.machine.restore)
            memory.save(self.machine.folder, (), self.frozen)
            self._note_back(report)
            self.wish, self.state.plan, self.state.since = Effective(), Plan((), ()), None
        self._tell()
        return report

    async def plan(self, lease: Lease) -> Planned:
        """What would change with this lease, too. Reads only. Raises Refused."""
        self.require()
        wish = merged([*self.leases.values(), lease])
        async with self._busy:
            return await in_own_thread(lambda: self.machine.plan(wish))

    def remember(self) -> None:
        """Write down who holds the mode and what stands still for it, for a daemon that comes after."""
        memory.save(self.machine.folder, self.leases.values(), self.frozen)

    def next_change(self) -> asyncio.Event:
        """Set at the next change of anything that there is to tell."""
        return self._changed

    async def alone(self, work: Callable[[], T]) -> T:
        """Do something with the machine while nothing else is done with it."""
        async with self._busy:
            return await in_own_thread(work)

    def require(self) -> None:
        """Raises Refused where this daemon has no machine to change."""
        if self.why_not:
            raise Refused(f"ML mode: {self.why_not}", hint="mlosctl doctor says what works on this machine")

    async def _follow(self) -> None:
        """Make the machine what the leases come to."""
        async with self._busy:
            wish = merged(self.leases.values())
            if wish.is_on:
                wish = replace(wish, settings={**wish.settings, **self.extra})
            began = time.monotonic()
            self.remember()
            try:
                planned = await in_own_thread(lambda: self.machine.plan(wish))
                refused = await self._holds.take(wish.settings, planned.plan, planned.scene)
                outcome = await in_own_thread(lambda: self.machine.carry_out(planned))
            except CoreRefused as e:
                self._note_back(e.back)
                raise
            except Busy:
                raise Refused("another program is putting the machine back now", hint="try again") from None
            except OtherFormat as e:
                raise Refused(str(e), hint="run the mlosd-restore of the version that wrote it") from None
            await self._holds.drop(wish.settings)
            self._note_back(outcome.given_back)
            self.state.plan, self.state.notes = planned.plan, planned.notes
            self.state.refused = [*outcome.refused, *refused]
            self.state.switch_ms = (time.monotonic() - began) * 1000
            self.state.since = (self.state.since or time.time()) if wish.is_on else None
            self.wish = wish
            for step in outcome.written:
                self._emit(events.KnobChanged(step.knob, step.target, str(step.now), str(step.value)))
        self._tell()

    def _note_back(self, report: Report) -> None:
        """What was put back, what is somebody else's now, and what could not be: that drains the mode."""
        for one in report.restored:
            self._emit(events.KnobChanged(one.knob, one.target, str(one.after), str(one.before)))
        for left in report.kept:
            self._emit(events.KnobKept(left.pending.knob, left.pending.target, str(left.now), left.reason))
        self.state.kept = [*self.state.kept, *report.kept][-50:]
        self.state.drained = list(report.failed)
        if report.damaged:
            self._emit(events.Failed("the undo log of ML mode", f"{report.damaged} lines of it cannot be read"))
        for what in report.unfinished:
            self._emit(events.Degraded(f"ML mode is left, and not finished: {what}"))
        for left in report.failed:
            self._emit(
                events.Failed(f"{left.pending.target} could not be put back to {left.pending.before}", left.reason)
            )

    def _drop(self, id_: int) -> Lease:
        self._holders.forget(id_)
        return self.leases.pop(id_)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self.on_change:
            listener()

    def pending(self) -> list[Pending]:
        """What is ours on the machine now. Empty while the mode is off: then the log is not even opened."""
        return self.machine.log.pending() if self.wish.is_on else []
