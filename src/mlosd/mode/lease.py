"""Leases: who asked for ML mode, for how long, and what all who ask come to. Values; merging is pure."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlosd.mode.scene import Setting


@dataclass(frozen=True, slots=True)
class Lease:
    """One who asked. It ends with the first of what it names: `until` (seconds of CLOCK_BOOTTIME), the process `pid`
    that started at `starttime` (ticks), the job `job`. One that names nothing lasts until somebody says so.

    `cpus`: CPUs that are training's own by this lease; `cgroup`: the directory of the cgroup that trains.
    `profile` and `settings`: what it asks, `headroom`: see Profile. `implied`: by a job's class, not by a person.
    `notes`: what is to be said of what it got.
    """

    id: int
    who: str
    owner: int
    profile: str
    settings: Mapping[str, Setting]
    headroom: float | None = None
    cpus: tuple[int, ...] = ()
    cgroup: str | None = None
    memory: int | None = None
    gpus: tuple[str, ...] = ()
    job: int | None = None
    pid: int | None = None
    starttime: int | None = None
    until: float | None = None
    since: float = 0.0
    implied: bool = False
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """As `leases.json` has it (mlosd.undo.survivors): what a program without us can ask the kernel about."""
        held = self.job is None and self.pid is None and self.until is None
        return {**asdict(self), "held": held}


_NUMBER = (int, type(None))
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "id": int, "who": str, "owner": int, "profile": str, "settings": dict, "headroom": (int, float, type(None)),
    "cpus": list, "cgroup": (str, type(None)), "memory": _NUMBER, "gpus": list, "job": _NUMBER, "pid": _NUMBER,
    "starttime": _NUMBER, "until": (int, float, type(None)), "since": (int, float), "implied": bool, "notes": list,
}  # fmt: skip


def of_record(record: Mapping[str, Any]) -> Lease:
    """Raises TypeError, KeyError where it is no record of this version."""
    values = {name: record[name] for name in Lease.__dataclass_fields__}
    if any(not isinstance(values[name], kinds) for name, kinds in _KINDS.items()):
        raise TypeError(record)
    lists = {name: tuple(values[name]) for name in ("cpus", "gpus", "notes")}
    return Lease(**{**values, **lists})


@dataclass(frozen=True, slots=True)
class Effective:
    """What all leases come to: one wish. No leases: no settings, and so nothing of ours on the machine.

    `pinned`: the CPUs that leases have for themselves. `notes`: where they contradict each other, and who won.
    """

    settings: Mapping[str, Setting] = field(default_factory=dict)
    headroom: float | None = None
    pinned: frozenset[int] = frozenset()
    members: tuple[str, ...] = ()
    memory: int | None = None
    gpus: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_on(self) -> bool:
        return bool(self.profiles)


def merged(leases: Iterable[Lease]) -> Effective:
    """Everything that anybody asks for. Where two ask differently for one knob, who asked first is heard."""
    settings: dict[str, Setting] = {}
    asked_by: dict[str, Lease] = {}
    ordered = sorted(leases, key=lambda lease: lease.id)
    notes = [note for lease in ordered for note in lease.notes]
    for lease in ordered:
        for knob, setting in lease.settings.items():
            if knob not in settings:
                settings[knob], asked_by[knob] = setting, lease
            elif settings[knob] != setting:
                first = asked_by[knob]
                notes.append(f"{knob}: {setting} of lease {lease.id} waits, {settings[knob]} of {first.id} was first")
    targets = [lease.headroom for lease in ordered if lease.headroom is not None]
    memory = [lease.memory for lease in ordered if lease.memory is not None]
    return Effective(
        settings=settings,
        headroom=min(targets) if targets else None,
        pinned=frozenset(cpu for lease in ordered for cpu in lease.cpus),
        members=tuple(lease.cgroup for lease in ordered if lease.cgroup),
        memory=sum(memory) if memory else None,
        gpus=tuple(gpu for lease in ordered for gpu in lease.gpus),
        profiles=tuple(dict.fromkeys(lease.profile for lease in ordered)),
        notes=tuple(notes),
    )
