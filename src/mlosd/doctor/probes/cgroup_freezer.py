"""Freeze, thaw and kill: in a cgroup made for it, with one sleeping process inside."""

import contextlib
import errno
import os
import signal
import time
from pathlib import Path

from mlosd.doctor import cgroup_place
from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import AS_ROOT, Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import cgroup_tree, cgroupfs
from mlosd.kernel.cgroupfs import Cgroup


def run(host: Host) -> Verdict:
    place = cgroup_place.find(host)
    if place is None:
        return _look(host)
    scratch = place / name(os.getppid())
    with Cgroup.make(scratch) as cgroup:
        sleeper = os.fork()
        if sleeper == 0:
            signal.pause()
            os._exit(0)
        try:
            return _try(cgroup, sleeper)
        finally:
            _end(sleeper)
            cgroupfs.remove(scratch)


def name(doctor: int) -> str:
    return f"mlosd-doctor-{doctor}"


def tidy(host: Host, doctor: int) -> None:
    """After the probe was killed: end what is in its cgroup, and remove it."""
    place = cgroup_place.find(host)
    if place is None:
        return
    with contextlib.suppress(OSError), Cgroup.open(place / name(doctor)) as cgroup:
        cgroup.kill()
        with cgroup.watch() as watch:
            watch.wait(lambda events: not events.populated, seconds=1.0)
    with contextlib.suppress(OSError):
        cgroupfs.remove(place / name(doctor))


def _try(cgroup: Cgroup, sleeper: int) -> Verdict:
    cgroup.add(sleeper)
    with cgroup.watch() as watch:
        began = time.monotonic()
        try:
            cgroup.freeze()
        except FileNotFoundError:
            return Unavailable("this kernel cannot freeze cgroups", "Linux 5.2 and later can")
        watch.wait(lambda events: events.frozen is True, seconds=2.0)
        frozen_in = (time.monotonic() - began) * 1000
        cgroup.thaw()
        watch.wait(lambda events: events.frozen is False, seconds=2.0)
        try:
            cgroup.kill()
        except FileNotFoundError:
            return Degraded(f"freezes in {frozen_in:.1f} ms, but cannot kill in one step", "Linux 5.14 and later can")
        os.waitpid(sleeper, 0)
        watch.wait(lambda events: not events.populated, seconds=2.0)
    return Ok(f"froze a process in {frozen_in:.1f} ms, thawed it, and killed it through its cgroup")


def _look(host: Host) -> Verdict:
    """Without a cgroup of our own: say what the kernel offers, and why it was not tried."""
    mount = cgroup_tree.mount_point(host.mounts())
    path = cgroup_tree.membership(proc=host.proc).path
    if mount is None or path is None:
        return Unavailable("cgroup v2 is not mounted")
    directory: Path = cgroup_tree.CgroupTree(mount).directory(path)
    if host.uid != 0:
        return Unavailable("needs root, or a cgroup that is delegated to you", AS_ROOT)
    if (directory / "cgroup.kill").exists():
        return Ok("the kernel has it; not tried, because systemd owns this cgroup")
    return Unavailable("this cgroup has neither cgroup.freeze nor cgroup.kill", "Linux 5.14 and later have")


def _end(sleeper: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(sleeper, signal.SIGKILL)
    try:
        os.waitpid(sleeper, 0)
    except ChildProcessError as e:
        if e.errno != errno.ECHILD:
            raise


PROBE = Probe(
    name="freeze and kill",
    group=Feature.LIMITS,
    purpose="Pauses a whole job (mlosctl job freeze), and stops one so that no process of it survives.",
    used_by=(Feature.JOBS, Feature.LIMITS),
    run=run,
    tidy=tidy,
)
