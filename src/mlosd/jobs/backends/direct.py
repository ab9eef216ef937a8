"""The direct backend: a cgroup subtree of our own and the resident shepherd. For containers, CI and plain users.

Owns the subtree `<parent>/<name>/<env>/job-<id>`. Must not own: any other cgroup; the parent's own files are only read.
"""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path

from mlosd.core import data
from mlosd.core.errors import Refused
from mlosd.jobs.backend import AlreadyStarted, Launch, LaunchFailed, Started
from mlosd.jobs.backends.spec import HIGH_PERCENT, KILL_WHOLE, launch_spec
from mlosd.kernel import cgroup_tree, cgroupfs, mountinfo
from mlosd.kernel.cgroupfs import Cgroup
from mlosd.kernel.job_files import Knob, LaunchSpec, claim, forget, read_started, was_claimed, write_spec
from mlosd.kernel.shepherd import LaunchStepFailed, Shepherd, ShepherdLost

PATIENCE, LOOK_EVERY = 100, 0.02
CONTROLLERS = {"memory": "memory", "io_weight": "io"}


class DirectBackend:
    """Jobs below one cgroup, `parent`/`name`. `parent` None: no cgroups at all."""

    name = "direct"

    def __init__(self, *, run: Path, parent: Path | None, name: str, environments: tuple[str, ...]) -> None:
        self._jobs = run / "jobs"
        self._socket = run / "shepherd.sock"
        self._subtree = parent / name if parent else None
        self._environments = environments
        self._reasons: dict[str, str] = {}
        self._shepherd: Shepherd | None = None

    async def open(self) -> None:
        """Make the subtree and find or start the shepherd. Without cgroups jobs run all the same: degraded."""
        self._jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        program = data.program("mlos-shepherd")
        if not os.access(program, os.X_OK):
            raise Refused(
                f"{program} is missing", hint="reinstall mlosd, or run `python native/build.py` in a checkout"
            )
        self._make_subtree()
        await self._connect()

    async def close(self) -> None:
        """Let go of the shepherd; remove the subtree if no job is in it."""
        if self._shepherd:
            self._shepherd.close()
        if self._subtree:
            for directory in (*(self._subtree / env for env in self._environments), self._subtree):
                _remove_if_empty(directory)

    def unenforceable(self) -> Mapping[str, str]:
        """Limits that this machine cannot enforce, each with the reason."""
        return self._reasons

    def degraded(self) -> list[str]:
        """What is weaker here than it should be, in words."""
        return [f"{limit} is not enforced: {reason}" for limit, reason in self._reasons.items()]

    async def start(self, launch: Launch) -> Started:
        """Start the command through the shepherd."""
        directory = self._jobs / str(launch.job)
        _make_afresh(directory)
        spec = self._spec(launch)
        write_spec(directory / "spec", spec)
        try:
            keeper, pid = await self._start(launch, directory)
        except LaunchStepFailed as e:
            if e.step == "already-started":
                raise AlreadyStarted from e
            raise LaunchFailed(e.step, e.errno) from e
        if not spec.knobs:
            # Nothing can have been refused: its record would tell nothing new.
            return Started(keeper, pid, Path(spec.cgroup) if spec.cgroup else None, time.time())
        record = read_started(directory)
        if record is None:
            raise AlreadyStarted  # and ended within the moment: its `exit` tells
        return Started(record.keeper, record.pid, record.cgroup, record.at, record.knobs_failed)

    async def _start(self, launch: Launch, directory: Path) -> tuple[int, int]:
        """Ask the shepherd; a second one if the first goes away: the token sees to it that the job starts once."""
        for last_try in (False, True):
            shepherd = self._shepherd or await self._connect()
            try:
                return await shepherd.start(
                    str(launch.job), directory, stdin=launch.stdin, stdout=launch.stdout, stderr=launch.stderr
                )
            except ShepherdLost:
                if was_claimed(directory):
                    raise AlreadyStarted from None
                if last_try:
                    break
        raise LaunchFailed("the shepherd goes away", 0)

    async def forget(self, job: int) -> None:
        """Remove the job's directory, and its cgroup if the keeper was killed before it could."""
        forget(self._jobs / str(job))
        for env in self._environments if self._subtree else ():
            await _clear_away(f"{self._subtree}/{env}/job-{job}")

    async def _connect(self) -> Shepherd:
        self._shepherd = await Shepherd.connect(
            self._socket, data.program("mlos-shepherd"), on_lost=self._lost_shepherd
        )
        return self._shepherd

    def _lost_shepherd(self) -> None:
        self._shepherd = None

    def _spec(self, launch: Launch) -> LaunchSpec:
        if self._subtree is None:
            return launch_spec(launch, cgroup=None, knobs=())
        cgroup = self._subtree / launch.env / f"job-{launch.job}"
        return launch_spec(launch, cgroup=str(cgroup), knobs=self._knobs(launch))

    def _knobs(self, launch: Launch) -> tuple[Knob, ...]:
        knobs = []
        if launch.memory is not None and "memory" not in self._reasons:
            knobs += [
                Knob("memory.max", str(launch.memory), required=True),
                Knob("memory.high", str(launch.memory * HIGH_PERCENT // 100)),
                KILL_WHOLE,
            ]
        if launch.io_weight is not None and "io_weight" not in self._reasons:
            knobs.append(Knob("io.weight", f"default {launch.io_weight}"))
        return tuple(knobs)

    def _make_subtree(self) -> None:
        if self._subtree is None:
            self._without_cgroups("no cgroup v2 file system is mounted")
            return
        try:
            for directory in (self._subtree, *(self._subtree / env for env in self._environments)):
                directory.mkdir(exist_ok=True)
            available = _enable(self._subtree)
            for env in self._environments:
                available &= _enable(self._subtree / env)
        except OSError as e:
            self._without_cgroups(f"no cgroup of our own below {self._subtree.parent}: {e.strerror}")
            return
        self._reasons = {
            limit: f"no {controller} controller for {self._subtree}"
            for limit, controller in CONTROLLERS.items()
            if controller not in available
        }

    def _without_cgroups(self, reason: str) -> None:
        self._subtree = None
        self._reasons = dict.fromkeys(CONTROLLERS, reason)


def cgroup_parent(setting: str) -> Path | None:
    """Where our subtree goes: as the setting says, or: root at the mount itself, others in the cgroup they are in."""
    if setting != "auto":
        return Path(setting)
    mount = cgroup_tree.mount_point(mountinfo.read())
    if mount is None or os.getuid() == 0:
        return mount
    path = cgroup_tree.membership().path
    return cgroup_tree.CgroupTree(mount).directory(path) if path else None


def _make_afresh(directory: Path) -> None:
    """The job's directory, empty. What an earlier daemon left is removed, unless a keeper has taken its token."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not claim(directory):
            raise AlreadyStarted from None
        forget(directory)
        directory.mkdir(mode=0o700)


def _enable(directory: Path) -> frozenset[str]:
    """Give the children of a cgroup of ours every controller that it has; those that they got."""
    with Cgroup.open(directory) as cgroup:
        for controller in sorted(cgroup.controllers()):
            try:
                cgroup.enable([controller])
            except OSError as e:
                if e.errno not in (errno.ENOENT, errno.EBUSY, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES):
                    raise
        return cgroup.enabled()


async def _clear_away(cgroup: str) -> None:
    """Kill what is in a cgroup and remove it; what a disk or a driver holds is left."""
    for _ in range(PATIENCE):
        if not os.path.isdir(cgroup):  # noqa: PTH112 - four times per job: no objects for a name
            return
        with contextlib.suppress(OSError):
            with Cgroup.open(Path(cgroup)) as left:
                left.kill()
            cgroupfs.remove(Path(cgroup))
            return
        await asyncio.sleep(LOOK_EVERY)


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
