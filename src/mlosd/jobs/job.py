"""A job: what was asked, by whom, and its state. Values only; `advance` is the one way from a state to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlosd.jobs.state import LEGAL, Queued, State, name


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job asks for. None means no limit. Bytes and seconds."""

    cpus: int | None = None
    memory: int | None = None
    io_weight: int | None = None
    gpus: int | None = None
    time: int | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose job it is, as the kernel said when it was submitted."""

    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; never changes. `project` is an id, its name the one that it had then.

    `foreground`: it runs on the descriptors of a client that waits for it.
    `terminal`: those are a pseudo terminal, which becomes its controlling terminal.
    """

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    umask: int
    name: str
    owner: Owner
    project: str | None
    project_name: str | None
    env: str
    job_class: str
    priority: int
    grace: float
    limits: Limits
    foreground: bool
    terminal: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `cpus`, `gpus`: what it was granted; `notes`: what this machine cannot do for it."""

    id: int
    request: Request
    submitted_at: float
    state: State
    cpus: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def slots(self) -> int:
        """How many CPUs it counts for."""
        return self.request.limits.cpus or 1


class IllegalChange(RuntimeError):
    """A bug: a job was moved to a state that cannot follow the one it is in."""


def advance(job: Job, state: State) -> Job:
    """The job in its next state. Raises IllegalChange; back in the queue it holds nothing."""
    if type(state) not in LEGAL[type(job.state)]:
        raise IllegalChange(f"job {job.id}: {name(job.state)} -> {name(state)}")
    if isinstance(state, Queued):
        return replace(job, state=state, cpus=(), gpus=())
    return replace(job, state=state)
