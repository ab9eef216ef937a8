"""fanotify: open a file in a private mount, and read from the kernel which file it was.

Each real file system has a row of its own besides: see file_systems.py.
"""

import contextlib
import os
import select
from pathlib import Path

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import AS_ROOT, Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import fanotify
from mlosd.kernel.fanotify import fanotify_init, fanotify_mark
from mlosd.kernel.namespaces import CloneFlags, MountFlags, mount, unshare

NAMES = fanotify.FAN_REPORT_FID | fanotify.FAN_REPORT_DIR_FID | fanotify.FAN_REPORT_NAME


def run(host: Host) -> Verdict:
    if host.uid != 0:
        return _unprivileged(host)
    unshare(CloneFlags.NEWNS)
    mount("none", Path("/"), None, MountFlags.REC | MountFlags.SLAVE)
    mount("tmpfs", host.scratch, "tmpfs", MountFlags.NOSUID)
    group = fanotify_init(NAMES | fanotify.FAN_NONBLOCK)
    try:
        fanotify_mark(group, fanotify.FAN_MARK_ADD | fanotify.FAN_MARK_MOUNT, fanotify.FAN_CLOSE_WRITE, host.scratch)
        (host.scratch / "model.pt").write_bytes(b"weights")
        if not select.select([group], [], [], 1.0)[0]:
            return Unavailable("a file was written in a marked mount, and no event came")
        event = os.read(group, 4096)
    finally:
        os.close(group)
    if b"model.pt\0" not in event:
        return Degraded("told of a file that was written, but not its name")
    return Ok("told of a file that was written, by its handle and name")


def _unprivileged(host: Host) -> Verdict:
    with contextlib.closing(os.fdopen(fanotify_init(NAMES), "rb", buffering=0)) as group:
        fanotify_mark(group.fileno(), fanotify.FAN_MARK_ADD, fanotify.FAN_CLOSE_WRITE, host.scratch)
    return Degraded("as a plain user: single directories only, and not who did it", AS_ROOT)


PROBE = Probe(
    name="file events (fanotify)",
    group=Feature.LINEAGE,
    purpose="Sees every file that a job really reads and writes, without a line changed in the script.",
    needed_by=(Feature.LINEAGE,),
    used_by=(Feature.DRIFT,),
    run=run,
)
