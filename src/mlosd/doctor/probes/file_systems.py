"""Each mounted file system: can a job's reads and writes on it be seen, and can a file be found again by its handle.

The marks of fanotify(7) and the handles of open_by_handle_at(2) are up to each file system: btrfs subvolumes refuse
marks on a mount (EXDEV), overlayfs without nfs_export refuses them (EOPNOTSUPP), FUSE may have no handles.
"""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import fanotify, mountinfo
from mlosd.kernel.fanotify import fanotify_init, fanotify_mark_fd
from mlosd.kernel.file_handle import fd_to_handle, open_by_handle_at
from mlosd.kernel.mountinfo import Mount

_DISKS = frozenset({"bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
# Where no project lives: the kernel's own trees, and those of container engines, which are many and come and go.
_NOT_FOR_PROJECTS = ("/dev", "/proc", "/sys", "/run", "/boot", "/var/lib/docker", "/var/lib/containers", "/snap")
_MOST = 16

_NAMES = fanotify.FAN_REPORT_FID | fanotify.FAN_REPORT_DIR_FID | fanotify.FAN_REPORT_NAME
_USE = fanotify.FAN_OPEN | fanotify.FAN_MODIFY | fanotify.FAN_CLOSE_WRITE | fanotify.FAN_OPEN_EXEC
_CHANGE = fanotify.FAN_CREATE | fanotify.FAN_DELETE | fanotify.FAN_RENAME | fanotify.FAN_ONDIR


def probes(host: Host) -> Iterator[Probe]:
    """One probe for each mount that could hold projects. Only root may mark one, so a plain user gets no rows."""
    if host.uid != 0:
        return
    for mount in choose(host.mounts()):
        yield Probe(
            name=f"{mount.fstype} on {mount.target}",
            group=Feature.LINEAGE,
            purpose="Sees what jobs read, write and rename on this file system, and finds its files again.",
            used_by=(Feature.LINEAGE,),
            run=partial(run, mount.target),
        )


def choose(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts to try: visible, writable, one per file system (or btrfs subvolume), the shortest paths first."""
    by_filesystem: dict[tuple[str, str], Mount] = {}
    ordered = sorted(mountinfo.visible(mounts), key=lambda mount: (len(mount.target.parts), mount.target))
    for mount in ordered:
        if mount.fstype in _DISKS and not mount.read_only and not _reserved(mount.target):
            subvolume = mount.root if mount.fstype == "btrfs" else ""
            by_filesystem.setdefault((mount.device, subvolume), mount)
    return tuple(by_filesystem.values())[:_MOST]


def _reserved(target: Path) -> bool:
    return any(target.is_relative_to(place) for place in _NOT_FOR_PROJECTS)


def run(target: Path, host: Host) -> Verdict:
    directory = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        use = _refusal(_NAMES, fanotify.FAN_MARK_MOUNT, _USE, directory)
        change = _refusal(_NAMES | fanotify.FAN_REPORT_TARGET_FID, fanotify.FAN_MARK_FILESYSTEM, _CHANGE, directory)
        fallback = _refusal(0, fanotify.FAN_MARK_MOUNT, fanotify.FAN_OPEN | fanotify.FAN_CLOSE_WRITE, directory)
        handle = _lost(directory)
    finally:
        os.close(directory)
    if use and fallback:
        return Unavailable(f"what jobs read and write here cannot be seen: {use}")
    lacking = []
    if use:
        lacking.append(f"reads and writes are seen without names ({use})")
    if change:
        lacking.append(f"renames are not seen ({change})")
    if handle:
        lacking.append(f"files are found again by path only ({handle})")
    if lacking:
        return Degraded("; ".join(lacking))
    return Ok("reads, writes and renames are seen; files are found again by handle")


def _refusal(flags: int, kind: int, mask: int, directory: int) -> str | None:
    """Mark and let go. None: the kernel took the mark; else the name of its error."""
    try:
        group = fanotify_init(flags)
        try:
            fanotify_mark_fd(group, fanotify.FAN_MARK_ADD | kind, mask, directory)
        finally:
            os.close(group)  # takes the mark with it
    except OSError as e:
        return e.strerror
    return None


def _lost(directory: int) -> str | None:
    """Ask for a handle and open it again. None: it is the same directory."""
    try:
        found = open_by_handle_at(directory, fd_to_handle(directory), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as e:
        return e.strerror
    try:
        return None if os.path.sameopenfile(found, directory) else "the handle led to another file"
    finally:
        os.close(found)
