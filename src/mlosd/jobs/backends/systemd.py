"""The systemd backend: each job is a transient service below its environment's slice, its keeper a child of PID 1.

Owns the units `mlos-job-<id>.service`. Must not own: a cgroup (PID 1 makes the unit's and delegates what is below it
to the keeper) nor a slice (those are shipped units).
"""

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlosd.core import data
from mlosd.core.errors import Refused
from mlosd.jobs.backend import AlreadyStarted, Launch, LaunchFailed, Started
from mlosd.jobs.backends.spec import HIGH_PERCENT, KILL_WHOLE, launch_spec
from mlosd.kernel import cgroup_tree, io_weight, mountinfo
from mlosd.kernel.cgroupfs import Cgroup
from mlosd.kernel.shepherd import LaunchSpec, claim, read_exit, read_started, was_claimed, write_spec
from mlosd.kernel.systemd1 import UNIT_EXISTS, Systemd, SystemdError, Unreachable, cpu_mask

BOOTED = Path("/run/systemd/system")
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
NEEDED = {"memory": "memory", "io_weight": "io"}
# What the keeper takes after the grace period: SIGKILL again and again for ten seconds, then its last record.
STOP_MARGIN = 15.0
START_SECONDS = 60.0
LOOK_AGAIN = 1.0


class SystemdBackend:
    """Jobs as units. `tag` keeps those of several daemons apart; it is empty for the machine's own."""

    name = "systemd"

    def __init__(self, *, run: Path, tag: str) -> None:
        self._jobs = run / "jobs"
        self._tag = tag
        self._systemd = Systemd()
        self._reasons: dict[str, str] = {}

    async def open(self) -> None:
        """Connect to PID 1 and see what it can enforce."""
        if not BOOTED.is_dir():
            raise Refused("systemd is not PID 1 here", hint='set jobs.backend = "direct" in mlosd.toml')
        if not os.access(self._program, os.X_OK):
            raise Refused(
                f"{self._program} is missing", hint="reinstall mlosd, or run `python native/build.py` in a checkout"
            )
        mount = cgroup_tree.mount_point(mountinfo.read())
        if mount is None or not (available := _controllers(mount)):
            raise Refused(
                "this machine's cgroup controllers are not in the unified hierarchy",
                hint='boot with systemd.unified_cgroup_hierarchy=1, or set jobs.backend = "direct" in mlosd.toml',
            )
        try:
            await self._systemd.open()
        except Unreachable as e:
            raise Refused(f"the system bus does not answer: {e}", hint="systemctl status dbus.service") from e
        self._jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._reasons = {
            limit: f"the kernel has no {controller} controller"
            for limit, controller in NEEDED.items()
            if controller not in available
        }
        if not io_weight.heeding_disks(mount):
            self._reasons.setdefault("io_weight", "no disk here has the BFQ scheduler or blk-iocost on")

    async def close(self) -> None:
        """Let go of the bus; units stay."""
        await self._systemd.close()

    def degraded(self) -> list[str]:
        """What is weaker here than it should be, in words."""
        return [f"{limit} is not enforced: {reason}" for limit, reason in self._reasons.items()]

    def unenforceable(self) -> Mapping[str, str]:
        """Limits that this machine cannot enforce, each with the reason."""
        return self._reasons

    async def start(self, launch: Launch) -> Started:
        """Start the command in a unit of its own."""
        directory = self._jobs / str(launch.job)
        directory.mkdir(mode=0o700, exist_ok=True)
        if was_claimed(directory):
            raise AlreadyStarted
        # One of a daemon that died before its unit was made.
        (directory / "spec").unlink(missing_ok=True)
        write_spec(directory / "spec", _spec(launch))
        try:
            ended = await self._systemd.start_transient_unit(
                self._unit(launch.job),
                self._properties(launch, directory),
                fds=(launch.stdin, launch.stdout, launch.stderr),
            )
        except SystemdError as e:
            # The unit exists: our request, or a dead daemon's, did get through.
            if e.name != UNIT_EXISTS and claim(directory):
                raise LaunchFailed(f"systemd refused the unit: {e}", 0) from e
            ended = asyncio.get_running_loop().create_future()
        try:
            return await self._started(launch.job, directory, ended)
        finally:
            ended.cancel()

    async def forget(self, job: int) -> None:
        """Have PID 1 unload the unit if it failed; remove the job's directory."""
        with contextlib.suppress(SystemdError):  # it collects the unit by itself; this only makes it sooner
            await self._systemd.reset_failed_unit(self._unit(job))
        shutil.rmtree(self._jobs / str(job), ignore_errors=True)

    async def _started(self, job: int, directory: Path, ended: asyncio.Future[str]) -> Started:
        """Wait until PID 1 says how the start ended. If its word is lost, the unit is asked."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(ended), LOOK_AGAIN)
            if not ended.done() and await self._is_starting(job):
                continue
            if (end := read_exit(directory)) and end.error_step:
                raise LaunchFailed(end.error_step, end.error_errno or 0)
            if record := read_started(directory):
                return Started(record.keeper, record.pid, record.cgroup, record.at, record.knobs_failed)
            result = ended.result() if ended.done() else "lost"
            if claim(directory):
                raise LaunchFailed(f"systemd could not start the keeper ({result})", 0)
            raise LaunchFailed("the keeper died before the command ran", 0)

    async def _is_starting(self, job: int) -> bool:
        try:
            unit = await self._systemd.unit_properties(self._unit(job))
        except SystemdError:
            return True
        # While PID 1 executes itself anew, a unit that it was told to start waits, inactive, with a job (id, path).
        return bool(unit["ActiveState"] == "activating" or unit.get("Job", (0, "/"))[0])

    @property
    def _program(self) -> Path:
        return data.program("mlos-shepherd")

    def _unit(self, job: int) -> str:
        return f"mlos-job{self._tag}-{job}.service"

    def _properties(self, launch: Launch, directory: Path) -> dict[str, Any]:
        argv = [str(self._program), "keep", str(directory)]
        properties: dict[str, Any] = {
            "Description": f"ML job {launch.job} of user {launch.uid}",
            "Slice": f"mlos{self._tag}-{launch.env}.slice",
            # When the machine goes down, the daemon goes first: what ends then was not ended by anybody's wish.
            "Before": ["mlosd.service"],
            "Type": "notify",
            "ExecStart": [[argv[0], argv, False]],
            "StandardInputFileDescriptor": 0,
            "StandardOutputFileDescriptor": 1,
            "StandardErrorFileDescriptor": 2,
            "DelegateControllers": list(CONTROLLERS),
            # On SIGTERM the keeper stops the job itself; what it leaves, PID 1 kills.
            "KillMode": "mixed",
            "SendSIGHUP": False,
            "TimeoutStartUSec": round(START_SECONDS * 1e6),
            "TimeoutStopUSec": round((launch.grace + STOP_MARGIN) * 1e6),
            # A job out of memory ends by itself, and the keeper tells how; it must not be the one that is killed.
            "OOMPolicy": "continue",
            "OOMScoreAdjust": -900,
            "CollectMode": "inactive-or-failed",
        }
        if launch.cpus is not None:
            properties["AllowedCPUs"] = cpu_mask(launch.cpus)
        if launch.memory is not None:
            properties["MemoryMax"] = launch.memory
            properties["MemoryHigh"] = launch.memory * HIGH_PERCENT // 100
        if launch.io_weight is not None:
            properties["IOWeight"] = launch.io_weight
        return properties


def _spec(launch: Launch) -> LaunchSpec:
    return launch_spec(launch, cgroup="self", knobs=(KILL_WHOLE,) if launch.memory is not None else ())


def _controllers(mount: Path) -> frozenset[str]:
    try:
        with Cgroup.open(mount) as root:
            return root.controllers()
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENODEV):
            return frozenset()
        raise
