"""The leases that we hold of the kernel and of the bus: each is let go of when nobody wishes it, or when we die."""

import asyncio
from collections.abc import Callable, Mapping

from mlosd.core.errors import MlosError
from mlosd.mode import knobs
from mlosd.mode.knob import EndsItself, Held, Hold
from mlosd.mode.plan import Plan
from mlosd.mode.reconcile import CoreRefused, RefusedStep
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.rollback import Report


class Holds:
    """What is held, by knob. Owns it."""

    def __init__(self, ended: Callable[[str, str], None]) -> None:
        """`ended(knob, how)`: called when a lease ended without us."""
        self._ended = ended
        self._held: dict[str, tuple[Setting, Held]] = {}
        self._followed: dict[str, asyncio.Task[None]] = {}

    def names(self) -> tuple[str, ...]:
        """The knobs that are held now."""
        return tuple(self._held)

    def get(self, name: str) -> Held | None:
        """What is held by this knob."""
        held = self._held.get(name)
        return held[1] if held else None

    async def take(self, settings: Mapping[str, Setting], plan: Plan, scene: Scene) -> list[RefusedStep]:
        """Take what is wished and not held; what was refused. Raises CoreRefused, and then holds nothing new."""
        refused: list[RefusedStep] = []
        new: list[str] = []
        for step in plan.steps:
            held = self._held.get(step.knob)
            if step.what != "hold" or (held and held[0] == settings[step.knob]):
                continue
            knob = knobs.find(step.knob)
            assert isinstance(knob, Hold)
            try:
                taken = await knob.take(settings[step.knob], scene)
            except (OSError, MlosError) as e:
                reason = RefusedStep(step, getattr(e, "strerror", None) or str(e))
                if step.use == "core":
                    for name in reversed(new):
                        await self._release(name)
                    raise CoreRefused(reason, Report()) from e
                refused.append(reason)
            else:
                if held:
                    await self._release(step.knob)
                self._held[step.knob] = settings[step.knob], taken
                new.append(step.knob)
                if isinstance(taken, EndsItself):
                    self._followed[step.knob] = asyncio.get_running_loop().create_task(self._follow(step.knob, taken))
        return refused

    async def drop(self, settings: Mapping[str, Setting]) -> None:
        """Let go of what nobody wishes any more, the last taken first."""
        for name in reversed(tuple(self._held)):
            if name not in settings:
                await self._release(name)

    async def release_all(self) -> None:
        """Let go of everything, in the opposite order."""
        for name in reversed(tuple(self._held)):
            await self._release(name)

    async def _follow(self, name: str, held: EndsItself) -> None:
        how = await held.ended()
        self._followed.pop(name, None)
        if self._held.get(name, (None, None))[1] is held:
            del self._held[name]
            self._ended(name, how)

    async def _release(self, name: str) -> None:
        if task := self._followed.pop(name, None):
            task.cancel()
        _, held = self._held.pop(name)
        await held.release()
