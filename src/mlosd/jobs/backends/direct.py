"""The direct backend: a cgroup subtree of our own and the resident shepherd. For containers, CI and plain users.

Owns the subtree `<parent>/<name>/<env>/job-<id>`. Must not own: any other cgroup; the parent's own files are only read.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from mlosd.core import data
from mlosd.core.errors import Refused
from mlosd.jobs.backend import AlreadyStarted, Launch, LaunchFailed, Started
from mlosd.kernel import cgroup_tree, mountinfo
from mlosd.kernel.cgroupfs import Cgroup
from mlosd.kernel.shepherd import LaunchSpec, LaunchStepFailed, Shepherd, read_started, write_spec

CONTROLLERS = {"memory": "memory", "io_weight": "io"}
# memory.high throttles and reclaims before memory.max kills: a job that grows slowly gets a warning, not a bullet.
HIGH_PERCENT = 95


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
        return [f"degraded: {reason}" for reason in dict.fromkeys(self._reasons.values())]

    async def start(self, launch: Launch) -> Started:
        """Start the command through the shepherd."""
        directory = self._jobs / str(launch.job)
        directory.mkdir(mode=0o700, exist_ok=True)
        write_spec(directory / "spec", self._spec(launch))
        shepherd = self._shepherd if self._shepherd and self._shepherd.connected else await self._connect()
        try:
            await shepherd.start(launch.job, directory, launch.stdin, launch.stdout, launch.stderr)
        except LaunchStepFailed as e:
            if e.step == "already-started":
                raise AlreadyStarted from e
            raise LaunchFailed(e.step, e.errno) from e
        record = read_started(directory)
        if record is None:
            raise LaunchFailed("the keeper left no record", 0)
        cgroup = Path(record.cgroup) if record.cgroup else None
        return Started(record.keeper, record.pid, cgroup, record.at, record.knobs_failed)

    async def forget(self, job: int) -> None:
        """Remove the job's directory; the keeper has removed its cgroup."""
        shutil.rmtree(self._jobs / str(job), ignore_errors=True)

    async def _connect(self) -> Shepherd:
        self._shepherd = await Shepherd.connect(self._socket, data.program("mlos-shepherd"))
        return self._shepherd

    def _spec(self, launch: Launch) -> LaunchSpec:
        return LaunchSpec(
            id=launch.job,
            argv=launch.argv,
            environment=launch.environment,
            cwd=launch.cwd,
            uid=launch.uid,
            gid=launch.gid,
            groups=launch.groups,
            umask=launch.umask,
            terminal=launch.terminal,
            affinity=launch.cpus,
            grace=launch.grace,
            cgroup=self._subtree / launch.env / f"job-{launch.job}" if self._subtree else None,
            knobs=self._knobs(launch) if self._subtree else (),
        )

    def _knobs(self, launch: Launch) -> tuple[tuple[str, str], ...]:
        knobs = []
        if launch.memory is not None and "memory" not in self._reasons:
            knobs += [
                ("memory.max", str(launch.memory)),
                ("memory.high", str(launch.memory * HIGH_PERCENT // 100)),
                ("memory.oom.group", "1"),
            ]
        if launch.io_weight is not None and "io_weight" not in self._reasons:
            knobs.append(("io.weight", f"default {launch.io_weight}"))
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


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
