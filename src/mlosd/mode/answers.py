"""What callers of io.mlosd.Mode are told, and whether they may. Policy and views, no machinery."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from mlosd.core.errors import MlosError, NotFound
from mlosd.core.own_thread import in_own_thread
from mlosd.mode import rivals, view
from mlosd.mode.asked import Asked, Asker
from mlosd.mode.effective import effective
from mlosd.mode.lease import Lease
from mlosd.mode.profile import Profiles
from mlosd.mode.service import ModeService
from mlosd.mode.view import View


class ModeAnswers:
    """`headroom`: what the loop that keeps it says of itself, or None."""

    def __init__(
        self, service: ModeService, asked: Asked, profiles: Profiles, *, headroom: Callable[[], str | None]
    ) -> None:
        self._service = service
        self._asked = asked
        self._profiles = profiles
        self._headroom = headroom

    async def plan(self, parameters: Mapping[str, Any], asker: Asker) -> View:
        """Every write, old -> new. Writes nothing."""
        self._service.require()
        planned = await self._service.plan(self._asked.lease(parameters, asker))
        training, housekeeping = view.shares(planned.scene)
        return {
            "steps": view.steps(planned.plan.steps),
            "training": training,
            "housekeeping": housekeeping,
            "notes": list(planned.notes),
        }

    async def enter(self, parameters: Mapping[str, Any], asker: Asker) -> View:
        """Ask for the mode. Answered when the machine is in it."""
        self._service.require()
        lease = self._asked.lease(parameters, asker)
        lease = await self._service.enter(self._asked.with_id(lease))
        return {"lease": view.lease(lease), "mode": await self.mode(asker)}

    async def leave(self, id_: int | None, asker: Asker) -> View:
        """Give back one lease, or all that the caller asked for by hand."""
        self._service.require()
        mine = [lease for lease in self._service.leases.values() if self._may_end(lease, id_, asker)]
        if not mine:
            what = "there is no lease of yours" if id_ is None else f"there is no lease {id_} of yours"
            raise NotFound(what, hint="mlosctl mode status")
        left = await self._service.leave([lease.id for lease in mine], f"left by {asker.name}")
        return {"leases": [view.lease(lease) for lease in left], "mode": await self.mode(asker)}

    async def status(self, asker: Asker, *, more: bool) -> AsyncGenerator[View, None]:
        """The mode now, and with `more` after each change."""
        while True:
            changed = self._service.next_change()
            yield {"mode": await self.mode(asker)}
            if not more:
                return
            await changed.wait()

    async def verify(self) -> View:
        """Every target of ours read again, with what the kernel makes of it."""
        self._service.require()
        machine = self._service.machine

        def look() -> list[View]:
            return [view.finding(one, effective(one.pending, machine.host)) for one in machine.check()]

        return {"findings": await self._service.alone(look)}

    async def restore(self) -> View:
        """End every lease and put everything back."""
        report = await self._service.restore()
        kinds = self._service.machine.kinds
        return {
            "restored": len(report.restored) + len(report.untouched),
            "gone": len(report.gone),
            "kept": [view.leftover(one, kinds) for one in report.kept],
            "failed": [view.leftover(one, kinds) for one in report.failed],
        }

    def profiles(self) -> View:
        """Every profile. One that is broken says so in its summary."""
        return {"profiles": [self._profile(name) for name in self._profiles.names()]}

    async def mode(self, asker: Asker) -> View:
        """How it is; of others' leases only that they are there."""
        service, state = self._service, self._service.state
        kinds = service.machine.kinds
        # A caller with no machine to change has no topology to read, either.
        shares = ("", "") if service.why_not else view.shares(service.machine.scene(service.wish)[0])
        screen = service.wish.settings.get("screen-rate")
        return {
            "state": self._state(),
            "reason": service.why_not or state.broken,
            "since": state.since,
            "profiles": list(service.wish.profiles),
            "leases": [view.lease(lease, hidden=not asker.may_see(lease.owner)) for lease in service.leases.values()],
            "training": shares[0],
            "housekeeping": shares[1],
            "steps": view.steps(state.plan.steps, state.refused),
            "notes": list(state.notes),
            "kept": [view.leftover(one, kinds) for one in state.kept],
            "drained": [view.leftover(one, kinds) for one in state.drained],
            "rivals": await self._rivals(),
            "screen_hz": screen if isinstance(screen, int) else None,
            "headroom": self._headroom(),
            "switch_ms": state.switch_ms,
        }

    async def _rivals(self) -> list[str]:
        """Other programs that set the same and run now."""
        service = self._service
        if service.why_not or not service.wish.is_on or service.machine.host.pid1 is None:
            return []
        return await in_own_thread(lambda: rivals.active(service.wish.settings, service.machine.host))

    def _state(self) -> str:
        if self._service.why_not:
            return "unsupported"
        if self._service.state.drained or self._service.state.broken:
            return "drained"
        return "on" if self._service.wish.is_on else "off"

    def _may_end(self, lease: Lease, id_: int | None, asker: Asker) -> bool:
        if id_ is None:
            return lease.owner == asker.uid and not lease.implied
        return lease.id == id_ and (asker.is_operator or lease.owner == asker.uid)

    def _profile(self, name: str) -> View:
        try:
            return view.profile(self._profiles.find(name))
        except MlosError as e:
            return {"name": name, "summary": f"broken: {e}", "file": "", "settings": {}, "headroom": None}
