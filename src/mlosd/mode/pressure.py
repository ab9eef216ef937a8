"""Keeps headroom for training: reads what `headroom` wants to know, and does what it says. Owns the PSI trigger.

Must not own: the decision (headroom.py is pure), nor the quota's undoing (a knob like any other, `background-quota`).
While training does not wait, nothing runs here: the kernel's trigger wakes us.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mlosd.core import events
from mlosd.core.errors import MlosError
from mlosd.kernel import psi
from mlosd.kernel.cgroupfs import Cgroup
from mlosd.mode import headroom, slices
from mlosd.mode.headroom import Action, FreezeJobs, LiftQuota, Nothing, Sample, SetQuota, State, ThawJobs
from mlosd.mode.service import ModeService
from mlosd.mode.watched import slice_path

KNOB = "background-quota"


class LowJobs(Protocol):
    """The jobs of ours that may stand still while others train."""

    def running(self) -> list[int]: ...
    def freeze(self, id_: int) -> None: ...
    def thaw(self, id_: int) -> None: ...


class Pressure:
    """One loop while a profile with a target is in force, and training has a cgroup of its own."""

    def __init__(self, service: ModeService, *, jobs: LowJobs, emit: Callable[[events.Event], None]) -> None:
        self._service = service
        self._jobs = jobs
        self._emit = emit
        self._state = State()
        self._watching: tuple[Path, float] | None = None
        self._task: asyncio.Task[None] | None = None
        self._said: str | None = None

    def open(self) -> None:
        """Those that an earlier daemon froze go on: what pressure there is now, nobody knows yet."""
        self._thaw("mlosd was started again")
        self.follow()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def follow(self) -> None:
        """The mode changed: watch another cgroup, or none."""
        wish = self._service.wish
        wanted = None
        if wish.headroom is not None and (group := _training(wish.members)):
            wanted = group, wish.headroom
        if wanted != self._watching:
            self.close()
            self._give_all_back()
            self._watching = wanted
            if wanted is not None:
                self._task = asyncio.get_running_loop().create_task(self._watch(*wanted))

    def says(self) -> str | None:
        """What is being done, in words."""
        if self._watching is None:
            return None
        return self._said or f"training waits for a CPU less than {self._watching[1]:g} % of the time"

    async def _watch(self, group: Path, target: float) -> None:
        before = self._used()
        try:
            while True:
                wakes = headroom.wakes(self._state, target=target)
                if wakes.trigger is not None:
                    with psi.Trigger.open(group / "cpu.pressure", wakes.trigger) as trigger:
                        await trigger.fired()
                else:
                    await asyncio.sleep(wakes.period or headroom.PERIOD)
                now = self._used()
                used = {slice_: us - before.get(slice_, us) for slice_, us in now.items()}
                before = now
                sample = self._sample(group, sum(now.values()))
                self._state, actions = headroom.step(self._state, sample, target=target)
                for action in actions:
                    await self._do(action, used)
        except OSError as e:
            # The cgroup went away with its job, or this kernel keeps no PSI.
            self._said = f"not kept: {e.strerror}"
            self._emit(events.Degraded(f"headroom: {group}: {e.strerror}"))

    def _used(self) -> dict[str, int]:
        """Microseconds of CPU time that each background slice has used so far."""
        host = self._service.machine.host
        used = {}
        scene, _ = self._service.machine.scene(self._service.wish)
        for slice_ in slices.background(scene):
            where = slice_path(slice_)
            if not scene.holds_training(str(where)):
                used[slice_] = _usage(host.cgroups / where)
        return {slice_: us for slice_, us in used.items() if us}

    def _sample(self, group: Path, background: int) -> Sample:
        scene, _ = self._service.machine.scene(self._service.wish)
        return Sample(
            at=time.monotonic(),
            waited_us=psi.parse((group / "cpu.pressure").read_text(encoding="ascii")).some.total_us,
            training_us=_usage(group),
            background_us=background,
            cpus=len(scene.housekeeping) or len(scene.topology.numbers),
            can_freeze=bool(self._jobs.running()),
        )

    async def _do(self, action: Action, used: dict[str, int]) -> None:
        match action:
            case SetQuota(us, reason):
                self._said = f"{reason}: background has {us / 1e6:.2f} CPUs"
                # Shared as the slices used the CPUs just now: who did nothing needs nothing.
                self._service.extra[KNOB] = headroom.split(us, used) if used else {}
                self._service.soon()
            case LiftQuota():
                self._said = None
                self._service.extra.pop(KNOB, None)
                self._service.soon()
            case FreezeJobs(reason):
                self._freeze(reason)
            case ThawJobs(reason):
                self._thaw(reason)
            case Nothing():
                return
        self._emit(events.HeadroomKept(type(action).__name__, getattr(action, "reason", "")))

    def _freeze(self, reason: str) -> None:
        for id_ in self._jobs.running():
            self._service.frozen.add(id_)
        self._service.remember()
        for id_ in sorted(self._service.frozen):
            self._each(self._jobs.freeze, id_)
        self._said = f"{reason}: jobs {', '.join(map(str, sorted(self._service.frozen)))} stand still"

    def _thaw(self, reason: str) -> None:
        for id_ in sorted(self._service.frozen):
            self._each(self._jobs.thaw, id_)
        if self._service.frozen:
            self._emit(events.HeadroomKept("ThawJobs", reason))
            self._service.frozen.clear()
            self._service.remember()

    def _each(self, act: Callable[[int], None], id_: int) -> None:
        try:
            act(id_)
        except (MlosError, OSError) as e:
            self._emit(events.Degraded(f"headroom: job {id_}: {e}"))

    def _give_all_back(self) -> None:
        self._thaw("training ended")
        if self._service.extra.pop(KNOB, None) is not None and self._service.wish.is_on:
            self._service.soon()
        self._state, self._said = State(), None


def _training(members: tuple[str, ...]) -> Path | None:
    """The cgroup in which all train who hold the mode; of the first where they have none in common but the root."""
    if not members:
        return None
    common = Path(os.path.commonpath(members))
    return common if (common / "cpu.pressure").exists() and (common / "cgroup.events").exists() else Path(members[0])


def _usage(group: Path) -> int:
    """usage_usec of cpu.stat; 0 where the cgroup is not there."""
    try:
        with Cgroup.open(group) as cgroup:
            return cgroup.account().cpu_us or 0
    except OSError:
        return 0
