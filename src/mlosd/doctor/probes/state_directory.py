"""The directory of mlosd's state: on a local file system, writable, with locks that SQLite can rely on."""

import fcntl
import os
import tempfile
from pathlib import Path

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import mountinfo

_GIB = 1 << 30
_LITTLE = _GIB


def run(host: Host) -> Verdict:
    existing = host.existing_state()
    mount = mountinfo.of(existing, host.mounts())
    fstype = mount.fstype if mount else "an unknown file system"
    if fstype in mountinfo.NETWORK:
        # SQLite's WAL needs shared memory and honest locks, which these do not give (sqlite.org/wal.html).
        return Unavailable(
            f"{host.state} is on {fstype}, a network file system", "use a local disk: mlosd --root DIRECTORY"
        )
    if not os.access(existing, os.W_OK):
        return _closed(host, existing)
    _try_file(existing)
    room = os.statvfs(existing)
    free = room.f_bavail * room.f_frsize
    text = f"{host.state} on {fstype}, {free / _GIB:.1f} GiB free"
    if free < _LITTLE:
        return Degraded(text, "make room: job logs and the metadata table are kept there")
    return Ok(text if existing == host.state else f"{text} (it will be made)")


def _closed(host: Host, existing: Path) -> Verdict:
    if host.uid == 0:
        return Unavailable(f"{existing} is read-only", "use another directory: mlosd --root DIRECTORY")
    return Degraded(
        f"only root may write to {existing}",
        "an mlosd of your own needs a directory of its own: mlosctl doctor --root DIRECTORY",
    )


def _try_file(directory: Path) -> None:
    """A file without a name: it is gone when it is closed."""
    with tempfile.TemporaryFile(dir=directory) as file:
        os.posix_fallocate(file.fileno(), 0, 4096)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fsync(file.fileno())


PROBE = Probe(
    name="state directory",
    group=Feature.JOBS,
    purpose="Keeps the metadata table and the jobs' output over crashes and reboots.",
    needed_by=(Feature.JOBS, Feature.LINEAGE),
    run=run,
)
