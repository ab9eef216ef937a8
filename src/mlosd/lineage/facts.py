"""What a run remembers beside its files: command, environment, repository, Python and packages, machine.

`at_start` is asked when the job starts, `at_end` when its trace is complete; the daemon may restart in between, so what
the first gives can be written down (`to_json`) and read again (`from_json`).
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from mlosd.core.own_thread import in_own_thread
from mlosd.kernel import nvml
from mlosd.lineage import environment, git
from mlosd.lineage.as_user import Unanswered, User, printed
from mlosd.lineage.packages import Loaded, Package, worth_looking

T = TypeVar("T")

START_SECONDS = 25.0
"""git is asked up to four times, five seconds each."""
PACKAGES_SECONDS = 20.0
MOST_PATHS = 200_000
LARGEST_ANSWER = 8 << 20


@dataclass(frozen=True, slots=True)
class Command:
    """What was started, by whom. `root`: of its project, if it has one. `gpus`: the ids of those it was granted."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    root: str | None
    user: User
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """None: it could not be told; `notes` say why. `dirty` and `untracked`: see git.Repository.

    `repository`: the directory that git was asked about.
    """

    argv: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    repository: str | None = None
    commit: str | None = None
    branch: str | None = None
    dirty: str | None = None
    untracked: str | None = None
    python: str | None = None
    packages: tuple[Package, ...] = ()
    kernel: str | None = None
    cpu: str | None = None
    gpus: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


async def at_start(command: Command, *, gpus: Callable[[], nvml.Gpus] = nvml.read) -> Facts:
    """All that is known when a job starts. Never raises for what a user's files are like, nor waits for ever."""
    where = Path(command.root or command.cwd)
    notes: list[str] = []
    looked, names = await asyncio.gather(
        _within(START_SECONDS, lambda: git.look(where, command.user), "git", notes),
        _within(START_SECONDS, lambda: _granted(command.gpus, gpus()), "the GPU driver", notes)
        if command.gpus
        else _none(),
    )
    repository = looked or git.Repository()
    return Facts(
        argv=command.argv,
        environment=environment.chosen(command.environment),
        repository=os.fspath(where) if looked else None,
        commit=repository.commit,
        branch=repository.branch,
        dirty=repository.dirty,
        untracked=repository.untracked,
        kernel=kernel(),
        cpu=cpu_model(_cpuinfo()),
        gpus=names or command.gpus,
        notes=(*repository.notes, *notes),
    )


async def at_end(facts: Facts, *, user: User, paths: Sequence[str], executables: Sequence[str]) -> Facts:
    """With the Python and the packages that these files, which the run opened and executed, belong to."""
    if not worth_looking((*paths, *executables)):
        return facts
    notes: list[str] = []
    loaded = await _within(PACKAGES_SECONDS + 5, lambda: _packages(paths, executables, user), "packages", notes)
    if loaded is None:
        return replace(facts, notes=(*facts.notes, *notes))
    return replace(facts, python=loaded.python, packages=loaded.packages)


def to_json(facts: Facts) -> str:
    """For the column lineage.facts. Whatever bytes are in a name are written as lone surrogates, in ASCII."""
    return json.dumps(asdict(facts))


def from_json(text: str) -> Facts:
    """What to_json wrote, of any version: what is unknown is left out, what is missing is not known."""
    read: dict[str, Any] = json.loads(text)
    known = {one.name for one in fields(Facts)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in read.items() if name in known
    }
    if "packages" in given:
        given["packages"] = tuple(Package(one["name"], one["version"], one["path"]) for one in given["packages"])
    return Facts(**given)


def kernel() -> str:
    """System, release and machine, as uname(1) says them."""
    told = os.uname()
    return f"{told.sysname} {told.release} {told.machine}"


def cpu_model(cpuinfo: str) -> str | None:
    """The processor's name in /proc/cpuinfo; on Arm, which has none, the numbers of maker and part."""
    lines = [
        (name.strip(), value.strip()) for name, colon, value in (line.partition(":") for line in cpuinfo.splitlines())
    ]
    first = dict(reversed(lines))
    for name in ("model name", "cpu model", "cpu", "Processor"):
        if first.get(name):
            return first[name]
    if "CPU part" in first:
        return f"CPU implementer {first.get('CPU implementer', '?')} part {first['CPU part']}"
    return None


def _cpuinfo() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return file.read(8192)
    except OSError:
        return ""


def _granted(ids: Iterable[str], found: nvml.Gpus) -> tuple[str, ...]:
    names = {gpu.uuid: gpu.name for gpu in found.gpus}
    return tuple(f"{names[id_]} ({id_})" if id_ in names else id_ for id_ in ids)


async def _none() -> None:
    return None


async def _within(seconds: float, work: Callable[[], T], what: str, notes: list[str]) -> T | None:
    try:
        return await asyncio.wait_for(in_own_thread(work), seconds)
    except TimeoutError:
        notes.append(f"{what} did not answer within {seconds:g} s")
    except (Unanswered, OSError, ValueError, KeyError) as e:
        notes.append(f"{what}: {e}")
    return None


def _packages(paths: Sequence[str], executables: Sequence[str], user: User) -> Loaded:
    argv = [sys.executable, "-P", "-m", "mlosd.lineage.packages"]
    if os.geteuid() == 0 != user.uid:
        # It gives up root itself, once it has imported what it needs: the user need not be able to read our Python.
        argv.append(f"{user.uid}:{user.gid}:{','.join(map(str, user.groups))}")
    asked = json.dumps({"paths": list(paths[:MOST_PATHS]), "executables": list(executables[:MOST_PATHS])})
    with open(os.memfd_create("mlosd-paths", os.MFD_CLOEXEC), "w+b") as file:
        file.write(asked.encode("ascii"))
        file.seek(0)
        answer = printed(
            argv,
            None,
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
            seconds=PACKAGES_SECONDS,
            most=LARGEST_ANSWER,
            stdin=file.fileno(),
        )
    read = json.loads(answer)
    return Loaded(read["python"], tuple(Package(*one) for one in read["packages"]))
