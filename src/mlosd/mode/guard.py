"""Watches over a mode that is on: what others change, and whether training waits for CPUs. Owns both loops."""

from collections.abc import Callable

from mlosd.core import events
from mlosd.mode.drift import Drift
from mlosd.mode.pressure import LowJobs, Pressure
from mlosd.mode.service import ModeService


class Guard:
    """Told of every change of the mode. Does nothing, and wakes up for nothing, while it is off."""

    def __init__(
        self,
        service: ModeService,
        *,
        fights: int,
        yielded: dict[tuple[str, str], str],
        emit: Callable[[events.Event], None],
        jobs: LowJobs,
    ) -> None:
        self._service = service
        self._drift = Drift(service, fights=fights, yielded=yielded, emit=emit)
        self._pressure = Pressure(service, jobs=jobs, emit=emit)

    def open(self) -> None:
        if self._service.why_not is None:
            self._drift.open()
            self._pressure.open()
            self._service.on_change.append(self._follow)

    def close(self) -> None:
        if self._service.why_not is None:
            self._pressure.close()
            self._drift.close()

    def headroom(self) -> str | None:
        """What is done so that training does not wait for CPUs, in words; None: nothing."""
        return self._pressure.says()

    def _follow(self) -> None:
        self._drift.follow()
        self._pressure.follow()
