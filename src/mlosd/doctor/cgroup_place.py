"""Where the doctor may make a cgroup for a moment, without writing into one that systemd owns."""

import os
from pathlib import Path

from mlosd.doctor.host import Host
from mlosd.kernel import cgroup_tree
from mlosd.kernel.cgroup_tree import CgroupTree

# systemd marks what it has handed over, for unprivileged readers since version 251 (systemd.resource-control(5)).
_MARKS = ("user.delegate", "trusted.delegate")


def find(host: Host) -> Path | None:
    """A cgroup below which we may make ours; None: there is none."""
    mount = cgroup_tree.mount_point(host.mounts())
    path = cgroup_tree.membership(proc=host.proc).path
    if mount is None or path is None:
        return None
    tree = CgroupTree(mount)
    if not (host.run / "systemd/system").is_dir():
        return mount if os.access(mount, os.W_OK) else delegated(tree.directory(path), mount)
    return delegated(tree.directory(path), mount)


def delegated(start: Path, mount: Path) -> Path | None:
    """The nearest cgroup from `start` upwards that was delegated to us and that we may write to."""
    for directory in (start, *start.parents):
        if not directory.is_relative_to(mount):
            return None
        if _is_marked(directory) and os.access(directory, os.W_OK):
            return directory
    return None


def _is_marked(directory: Path) -> bool:
    for name in _MARKS:
        try:
            if os.getxattr(directory, name) == b"1":
                return True
        except OSError:
            continue
    return False
