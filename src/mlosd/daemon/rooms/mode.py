"""ML mode, put together: the machine that it changes, who asks for it, who watches over it."""

import os
from dataclasses import dataclass
from pathlib import Path

from mlosd.config.settings import Mode as Settings
from mlosd.core import data
from mlosd.core.errors import BadRequest
from mlosd.daemon import joints
from mlosd.daemon.rooms.ground import Ground
from mlosd.daemon.rooms.jobs import JobRooms
from mlosd.mode.answers import ModeAnswers
from mlosd.mode.asked import Asked, Asker
from mlosd.mode.guard import Guard
from mlosd.mode.implied import Implied, Training
from mlosd.mode.machine import Machine
from mlosd.mode.pins import Pins
from mlosd.mode.profile import Profiles
from mlosd.mode.scene import Host
from mlosd.mode.service import ModeService
from mlosd.undo import kinds
from mlosd.undo.systemd import Systemd


@dataclass(frozen=True, slots=True)
class ModeRooms:
    """What callers ask (`answers`), who holds the mode (`service`), what jobs imply, who watches (`guard`)."""

    answers: ModeAnswers
    service: ModeService
    implied: Implied
    guard: Guard

    async def open(self, unfinished: list[int]) -> None:
        """Take up what an earlier daemon left, or put it back."""
        await self.implied.open(unfinished)
        self.guard.open()

    async def close(self) -> None:
        """Under systemd a stop may be a restart: its helper decides (mlosd.undo.survivors). Elsewhere a stop is one."""
        self.guard.close()
        self.implied.close()
        await self.service.close(put_back="INVOCATION_ID" not in os.environ)


def mode_rooms(ground: Ground, jobs: JobRooms) -> ModeRooms:
    """Make every part. Nothing is read or written yet."""
    settings = ground.settings.mode
    host, why_not = _host(settings, is_default=ground.where.is_default)
    profiles = Profiles((data.path("profiles"), host.etc / "mlosd/profiles"))
    yielded: dict[tuple[str, str], str] = {}
    machine = Machine(
        host,
        kinds.Kinds(host.pid1 or Systemd()),
        ground.where.run / "mode" / "undo.log",
        pins=lambda: Pins(settings.pinned, etc=host.etc, proc=host.proc),
        yielded=lambda knob, target: yielded.get((knob, target)),
    )
    service = ModeService(machine, why_not=why_not, emit=ground.emit)

    def find(id_: int) -> Training | None:
        return joints.training(jobs, id_) if settings.for_jobs else joints.training(jobs, id_, implies=False)

    def find_job(id_: int, asker: Asker) -> Training | None:
        job = jobs.service.show(id_, lambda owner: asker.is_operator or owner == asker.uid)  # raises NotFound
        if job["state"] == "DONE":
            raise BadRequest(f"job {id_} is done: there is nothing to wait for", hint="mlosctl job list")
        return find(id_)

    implied = Implied(service, profiles, find=find, note=lambda id_, text: joints.note(jobs, id_, text))
    guard = Guard(
        service,
        fights=settings.fights,
        yielded=yielded,
        emit=ground.emit,
        jobs=joints.LowJobs(jobs),
    )
    asked = Asked(
        service,
        profiles,
        find_job=find_job,
        held=lambda: joints.held_cpus(jobs),
        everybody=settings.allow == "everybody",
        mount=str(host.cgroups),
    )
    answers = ModeAnswers(service, asked, profiles, headroom=guard.headroom)
    return ModeRooms(answers, service, implied, guard)


def _host(settings: Settings, *, is_default: bool) -> tuple[Host, str | None]:
    """The machine that this daemon may change, and why it may change none."""
    if settings.machine == "none":
        return Host(), "switched off: mode.machine is none in the settings"
    if settings.machine != "auto":
        root = Path(settings.machine)
        return Host(root / "sys", root / "proc", root / "dev", root / "etc", root / "run"), None
    if os.geteuid() != 0:
        return Host(), "mlosd is not root"
    if not is_default:
        return Host(), "this is not the machine's own mlosd, but one with --root"
    pid1 = Systemd()
    pid1.waits_for_reload = False
    return Host(pid1=pid1 if pid1.is_there() else None), None
