"""fanotify: open a file in a private mount, and read from the kernel which file it was and who opened it.

Each real file system has a row of its own besides: see file_systems.py.
"""

import contextlib
import os
import select
import struct
from pathlib import Path

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import AS_ROOT, Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import fanotify
from mlosd.kernel.fanotify import fanotify_init, fanotify_mark, fanotify_mark_fd
from mlosd.kernel.namespaces import CloneFlags, MountFlags, mount, unshare

NAMES = fanotify.FAN_REPORT_FID | fanotify.FAN_REPORT_DIR_FID | fanotify.FAN_REPORT_NAME
# Linux 6.14; not in kernel/fanotify.py until something other than this probe uses them.
_FAN_REPORT_MNT = 0x4000
_FAN_MARK_MNTNS = 0x110
_FAN_MNT_ATTACH = 0x01000000

_METADATA = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BBH")
_INFO_PIDFD = 4


def run(host: Host) -> Verdict:
    if host.uid != 0:
        return _unprivileged(host)
    unshare(CloneFlags.NEWNS)
    mount("none", Path("/"), None, MountFlags.REC | MountFlags.SLAVE)
    mount("tmpfs", host.scratch, "tmpfs", MountFlags.NOSUID)
    group = fanotify_init(NAMES | fanotify.FAN_REPORT_PIDFD | fanotify.FAN_NONBLOCK)
    try:
        fanotify_mark(group, fanotify.FAN_MARK_ADD | fanotify.FAN_MARK_MOUNT, fanotify.FAN_CLOSE_WRITE, host.scratch)
        (host.scratch / "model.pt").write_bytes(b"weights")
        if not select.select([group], [], [], 1.0)[0]:
            return Unavailable("a file was written in a marked mount, and no event came")
        event = os.read(group, 4096)
    finally:
        os.close(group)
    lacking = []
    if b"model.pt\0" not in event:
        lacking.append("the file's name")
    if not _has_pidfd(event):
        lacking.append("the writer's pidfd")
    if not _tells_mounts():
        lacking.append("new mounts inside a job (Linux 6.14 and later)")
    if lacking:
        return Degraded(f"told of a file that was written, but not {', '.join(lacking)}")
    return Ok("told of a file that was written, its name and its writer, and would tell of new mounts")


def _unprivileged(host: Host) -> Verdict:
    with contextlib.closing(os.fdopen(fanotify_init(NAMES), "rb", buffering=0)) as group:
        fanotify_mark(group.fileno(), fanotify.FAN_MARK_ADD, fanotify.FAN_CLOSE_WRITE, host.scratch)
    return Degraded("as a plain user: single directories only, and not who did it", AS_ROOT)


def _has_pidfd(event: bytes) -> bool:
    _, _, _, offset, _, _, _ = _METADATA.unpack_from(event)
    (length,) = struct.unpack_from("=I", event)
    found = False
    while offset + _INFO.size <= length:
        kind, _, size = _INFO.unpack_from(event, offset)
        if kind == _INFO_PIDFD:
            (pidfd,) = struct.unpack_from("=i", event, offset + _INFO.size)
            found = pidfd >= 0
            if found:
                os.close(pidfd)
        offset += size
    return found


def _tells_mounts() -> bool:
    try:
        group = fanotify_init(_FAN_REPORT_MNT)
    except OSError:
        return False
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fanotify_mark_fd(group, fanotify.FAN_MARK_ADD | _FAN_MARK_MNTNS, _FAN_MNT_ATTACH, namespace)
    except OSError:
        return False
    finally:
        os.close(namespace)
        os.close(group)
    return True


PROBE = Probe(
    name="file events (fanotify)",
    group=Feature.LINEAGE,
    purpose="Sees every file that a job really reads and writes, without a line changed in the script.",
    needed_by=(Feature.LINEAGE,),
    used_by=(Feature.DRIFT,),
    run=run,
)
