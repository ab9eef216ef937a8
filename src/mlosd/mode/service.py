"""ML mode: leases come and go, and the machine follows. Owns the leases and what is held; must not own: jobs.

Whatever happens ends in `_follow`: the leases that live are merged, and the machine is made what they come to, in one
go at a time. No leases: everything is put back.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
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
MOST_OF_A_USER = 32


@dataclass(slots=True)
class State:
    """What there is to tell. `drained`: what could not be put back; `broken`: why nobody knows what is to be.

    While there is any of it, no new mode begins.
    """

    plan: Plan = field(default_factory=lambda: Plan((), ()))
    refused: list[RefusedStep] = field(default_factory=list)
    drained: list[Leftover] = field(default_factory=list)
    kept: list[Leftover] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    broken: str | None = None
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

    async def open(self, is_unfinished: Callable[[int], bool]) -> None:
        """Find again what an earlier daemon left: the mode goes on for who still holds it; else all is put back.

        `is_unfinished`: whether there is a job of this number that is not done.
        """
        if self.why_not:
            return
        for lease in memory.leases(self.machine.folder):
            self._last_id = max(self._last_id, lease.id)
            if lease.job is not None and not is_unfinished(lease.job):
                continue
            with contextlib.suppress(NotFound):
                self._holders.watch(lease)
                self.leases[lease.id] = lease
        self.frozen.update(memory.frozen(self.machine.folder))
        try:
            await self._follow()
            self._break_if_damaged(self.machine.log.damaged)
        except Exception as e:  # whatever an earlier daemon left: this one must start, and say so
            self._break(f"what an earlier mlosd left cannot be taken up: {e}")

    async def close(self, *, put_back: bool) -> None:
        """The daemon ends. `put_back`: the mode ends with it; else whoever comes after takes it up, or puts it back."""
        for task in tuple(self._tasks):
            task.cancel()
        self._holders.close()
        async with self._busy:
            if put_back and not self.why_not:
                self.leases.clear()
                with contextlib.suppress(Busy, OtherFormat):  # then it is not ours to put back
                    await in_own_thread(self.machine.restore)
                self.remember()
            await self._holds.release_all()
            self.machine.close()

    def new_id(self) -> int:
        """The number of the next lease. Never one that an earlier daemon gave."""
        self._last_id += 1
        return self._last_id

    async def enter(self, lease: Lease) -> Lease:
        """Add a lease. Raises Refused (also CoreRefused), NotFound; then nothing of it is left."""
        self.require()
        self._require_room(lease)
        self._holders.watch(lease)
        self.leases[lease.id] = lease
        try:
            # Who holds the mode must be known to whoever has to end it after us.
            await self._follow(remember=lambda: memory.save(self.machine.folder, self.leases.values(), self.frozen))
        except BaseException:
            self._drop(lease.id)
            await self._follow_and_say()
            raise
        if lease.id in self.leases:  # its holder may have ended meanwhile
            self._emit(events.ModeChanged("entered", lease.who, str(lease.id)))
        return lease

    async def leave(self, ids: Iterable[int], why: str) -> list[Lease]:
        """End these leases, as far as they are there; those that were."""
        left = [lease for id_ in ids if (lease := self._drop(id_))]
        for lease in left:
            self._emit(events.ModeChanged(why, lease.who, str(lease.id)))
        await self._follow()
        return left

    def ended(self, id_: int, why: str) -> None:
        """A lease ended by itself: its process, its job, its time."""
        if lease := self._drop(id_):
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

        task = asyncio.get_running_loop().create_task(self._follow_and_say())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def restore(self) -> Report:
        """Whatever anybody wishes: end every lease and put everything back. Raises Refused."""
        self.require()
        for id_ in tuple(self.leases):
            if lease := self._drop(id_):
                self._emit(events.ModeChanged("restored by hand", lease.who, str(id_)))
        async with self._busy:
            await self._holds.release_all()
            with _said():
                report = await in_own_thread(self.machine.restore)
            self.remember()
            self._note_back(report)
            self.state.broken = None  # whoever may restore has seen it
            self.wish, self.state.plan, self.state.since = Effective(), Plan((), ()), None
        self._tell()
        return report

    async def plan(self, lease: Lease) -> Planned:
        """What would change with this lease, too. Reads only. Raises Refused."""
        self.require()
        wish = merged([*self.leases.values(), lease])
        async with self._busy:
            with _said():
                return await in_own_thread(lambda: self.machine.plan(wish))

    def remember(self) -> None:
        """Write down who holds the mode and what stands still for it, for a daemon that comes after.

        Where that is impossible it is said: nothing that ends the mode may fail for want of room.
        """
        try:
            memory.save(self.machine.folder, self.leases.values(), self.frozen)
        except OSError as e:
            self._emit(events.Degraded(f"who holds ML mode cannot be written down: {e.strerror}"))

    def next_change(self) -> asyncio.Event:
        """Set at the next change of anything that there is to tell."""
        return self._changed

    async def alone(self, work: Callable[[], T]) -> T:
        """Do something with the machine while nothing else is done with it."""
        async with self._busy:
            with _said():
                return await in_own_thread(work)

    def require(self) -> None:
        """Raises Refused where this daemon has no machine to change."""
        if self.why_not:
            raise Refused(f"ML mode: {self.why_not}", hint="mlosctl doctor says what works on this machine")

    def _require_room(self, lease: Lease) -> None:
        """Raises Refused where no mode may begin, or this user has enough."""
        if self.state.broken:
            raise Refused(f"ML mode is drained: {self.state.broken}", hint="mlosctl mode restore, once it is repaired")
        if self.state.drained:
            raise Refused(
                f"ML mode is drained: {len(self.state.drained)} values could not be put back",
                hint="mlosctl mode status shows them; mlosctl mode restore tries again",
            )
        if sum(other.owner == lease.owner and not other.implied for other in self.leases.values()) >= MOST_OF_A_USER:
            raise Refused(f"you hold the mode {MOST_OF_A_USER} times already", hint="mlosctl mode leave")

    async def _follow_and_say(self) -> None:
        """Follow where nobody waits for an answer."""
        try:
            await self._follow()
        except (MlosError, OSError) as e:
            self._emit(events.Degraded(f"ML mode: {e}"))

    async def _follow(self, *, remember: Callable[[], None] | None = None) -> None:
        """Make the machine what the leases come to. Raises Refused."""
        async with self._busy:
            wish = merged(self.leases.values())
            if wish.is_on:
                wish = replace(wish, settings={**wish.settings, **self.extra})
            began = time.monotonic()
            with _said():
                (remember or self.remember)()
                try:
                    planned = await in_own_thread(lambda: self.machine.plan(wish))
                    refused = await self._holds.take(wish.settings, planned.plan, planned.scene)
                    outcome = await in_own_thread(lambda: self.machine.carry_out(planned))
                except CoreRefused as e:
                    self._note_back(e.back)
                    raise
            await self._holds.drop(wish.settings)
            self._note_back(outcome.given_back)
            self.state.plan, self.state.notes = planned.plan, planned.notes
            self.state.refused = [*outcome.refused, *refused]
            self.state.switch_ms = (time.monotonic() - began) * 1000
            self.state.since = (self.state.since or time.time()) if wish.is_on else None
            self.wish = wish
            self._tell_changes((step.knob, step.target, step.now, step.value) for step in outcome.written)
        self._tell()

    def _tell_changes(self, changes: Iterable[tuple[str, str, str | None, str | None]]) -> None:
        """One event for all targets of a knob that became the same: a machine has many CPUs, disks, interrupts."""
        alike: dict[tuple[str, str, str], list[str]] = {}
        for knob, target, before, after in changes:
            alike.setdefault((knob, str(before), str(after)), []).append(target)
        for (knob, before, after), targets in alike.items():
            more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
            self._emit(events.KnobChanged(knob, targets[0] + more, before, after))

    def _note_back(self, report: Report) -> None:
        """What was put back, what is somebody else's now, and what could not be: that drains the mode."""
        self._tell_changes((one.knob, one.target, one.after, one.before) for one in report.restored)
        for left in report.kept:
            self._emit(events.KnobKept(left.pending.knob, left.pending.target, str(left.now), left.reason))
        self.state.kept = [*self.state.kept, *report.kept][-50:]
        self.state.drained = list(report.failed)
        for what in report.unfinished:
            self._emit(events.Degraded(f"ML mode is left, and not finished: {what}"))
        for left in report.failed:
            self._emit(
                events.Failed(f"{left.pending.target} could not be put back to {left.pending.before}", left.reason)
            )

    def _break(self, reason: str) -> None:
        """Nobody knows what is to be put back: no new mode until somebody has looked."""
        self.state.broken = reason
        self._emit(events.Failed("ML mode is drained", reason))

    def _break_if_damaged(self, lines: int) -> None:
        if lines:
            self._break(f"{lines} lines of the undo log cannot be read: what they put back is not known")

    def _drop(self, id_: int) -> Lease | None:
        self._holders.forget(id_)
        return self.leases.pop(id_, None)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self.on_change:
            listener()

    def pending(self) -> list[Pending]:
        """What is ours on the machine now. Empty while the mode is off: then the log is not even opened."""
        return self.machine.log.pending() if self.wish.is_on else []


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """What the undo log has against it becomes words for who asked."""
    try:
        yield
    except Busy:
        raise Refused("another program is putting the machine back now", hint="try again") from None
    except OtherFormat as e:
        raise Refused(str(e), hint="run the mlosd-restore of the version that wrote it") from None
    except OSError as e:
        raise Refused(f"what ML mode does cannot be written down: {e.strerror or e}", hint="df /run") from e
