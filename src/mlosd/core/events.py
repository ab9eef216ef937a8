"""Everything the daemon reports, as values. Each kind has a message id (journald's MESSAGE_ID) for good.

An event is logged, and streamed to whoever watches. Free text never replaces an event.
"""

from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import ClassVar

from mlosd.core import fields as names


def named(name: str) -> str:
    """A dataclass field that is logged under `name`."""
    result: str = field(metadata={"log": name})
    return result


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `MESSAGE_ID`: 128 bits, hex, never reused; `PRIORITY`: syslog(3) level."""

    MESSAGE_ID: ClassVar[str] = ""
    PRIORITY: ClassVar[int] = 6
    TEXT: ClassVar[str] = ""

    def logged(self) -> dict[str, str]:
        """The details, by log field name."""
        return {f.metadata["log"]: str(getattr(self, f.name)) for f in fields_of(self)}

    def text(self) -> str:
        """One line for people."""
        return self.TEXT.format(**{f.name: getattr(self, f.name) for f in fields_of(self)})


@dataclass(frozen=True, slots=True)
class DaemonStarted(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a001"
    TEXT: ClassVar[str] = "mlosd {version} started, backend {backend}, state in {root}"
    version: str = named(names.DETAIL)
    backend: str = named(names.BACKEND)
    root: str = named(names.PATH)


@dataclass(frozen=True, slots=True)
class DaemonStopping(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a002"
    TEXT: ClassVar[str] = "mlosd is stopping ({reason}); running jobs go on"
    reason: str = named(names.REASON)


@dataclass(frozen=True, slots=True)
class Degraded(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a003"
    PRIORITY: ClassVar[int] = 4
    TEXT: ClassVar[str] = "degraded: {reason}"
    reason: str = named(names.REASON)


@dataclass(frozen=True, slots=True)
class JobChanged(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a010"
    TEXT: ClassVar[str] = "job {job} is {state} ({reason})"
    job: str = named(names.JOB)
    state: str = named(names.STATE)
    reason: str = named(names.REASON)
    user: str = named(names.USER)


@dataclass(frozen=True, slots=True)
class JobAdopted(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a011"
    TEXT: ClassVar[str] = "job {job} was found again: {state}"
    job: str = named(names.JOB)
    state: str = named(names.STATE)


@dataclass(frozen=True, slots=True)
class ProjectChanged(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a020"
    TEXT: ClassVar[str] = "project {project}: {detail}"
    project: str = named(names.PROJECT)
    detail: str = named(names.DETAIL)


@dataclass(frozen=True, slots=True)
class ModelChanged(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a050"
    TEXT: ClassVar[str] = "model {model}: {detail}"
    model: str = named(names.MODEL)
    detail: str = named(names.DETAIL)


@dataclass(frozen=True, slots=True)
class ModeChanged(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a060"
    TEXT: ClassVar[str] = "ML mode: lease {lease} of {who}: {detail}"
    detail: str = named(names.DETAIL)
    who: str = named(names.USER)
    lease: str = named(names.LEASE)


@dataclass(frozen=True, slots=True)
class KnobChanged(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a061"
    TEXT: ClassVar[str] = "{knob}: {target}: {before} -> {after}"
    knob: str = named(names.KNOB)
    target: str = named(names.TARGET)
    before: str = named(names.BEFORE)
    after: str = named(names.AFTER)


@dataclass(frozen=True, slots=True)
class KnobKept(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a062"
    PRIORITY: ClassVar[int] = 5
    TEXT: ClassVar[str] = "{knob}: {target} is {after} and stays so: {reason}"
    knob: str = named(names.KNOB)
    target: str = named(names.TARGET)
    after: str = named(names.AFTER)
    reason: str = named(names.REASON)


@dataclass(frozen=True, slots=True)
class HeadroomKept(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a063"
    TEXT: ClassVar[str] = "headroom: {detail}: {reason}"
    detail: str = named(names.DETAIL)
    reason: str = named(names.REASON)


@dataclass(frozen=True, slots=True)
class CallerRefused(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a030"
    PRIORITY: ClassVar[int] = 5
    TEXT: ClassVar[str] = "{user} may not call {method}: {reason}"
    user: str = named(names.USER)
    method: str = named(names.METHOD)
    reason: str = named(names.REASON)


@dataclass(frozen=True, slots=True)
class Failed(Event):
    MESSAGE_ID: ClassVar[str] = "5f0e6a3d1c7b4d0e9a48b1b7f2c1a040"
    PRIORITY: ClassVar[int] = 3
    TEXT: ClassVar[str] = "{detail}: {reason}"
    detail: str = named(names.DETAIL)
    reason: str = named(names.REASON)
