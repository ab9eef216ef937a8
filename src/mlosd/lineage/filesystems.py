"""The file systems of a trace: which one an f_fsid means, and how a file of it is opened by its handle.

No mount is held: who wants to unmount one shall not be told that it is busy. Opening by handle asks for no path and
therefore for no permission: what is opened here never leaves the daemon but to the worker that digests it.
"""

import os
import stat
from dataclasses import dataclass

from mlosd.kernel.file_handle import FileHandle, open_by_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.kernel.trace import Covered

# O_NONBLOCK: should it have become a FIFO in the meantime, nobody waits for its other end.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME


@dataclass(frozen=True, slots=True)
class _Mounted:
    point: bytes
    id: str


class Filesystems:
    """Those that traces covered."""

    def __init__(self) -> None:
        self._by_fsid: dict[str, _Mounted] = {}

    def cover(self, covered: Covered) -> None:
        """Learn where a file system is mounted. One that we do not find there stays unknown."""
        known = self._by_fsid.get(covered.filesystem)
        if known and known.point == covered.mount_point:
            return
        try:
            fd = _open(covered.mount_point)
        except OSError:
            return
        try:
            # A job has mounts of its own: what we find at that path may be another, on which a handle is another file.
            if f"{os.fstatvfs(fd).f_fsid:016x}" == covered.filesystem:
                self._by_fsid[covered.filesystem] = _Mounted(covered.mount_point, str(filesystem_id(fd)))
        finally:
            os.close(fd)

    def name(self, fsid: str) -> str:
        """What the metadata table calls a file system: its UUID where it has one."""
        mounted = self._by_fsid.get(fsid)
        return mounted.id if mounted else f"fsid:{fsid}"

    def open(self, fsid: str, handle: FileHandle) -> int:
        """Open a regular file again, wherever it is called now. Raises OSError: it is gone, or none of ours."""
        mounted = self._by_fsid.get(fsid)
        if mounted is None:
            raise FileNotFoundError(fsid)
        mount = _open(mounted.point)
        try:
            # Another file system may be mounted there by now, on which the handle means another file.
            if str(filesystem_id(mount)) != mounted.id:
                raise FileNotFoundError(fsid)
            fd = open_by_handle_at(mount, handle, _FLAGS)
        finally:
            os.close(mount)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileNotFoundError(fsid)
        return fd


def _open(mount_point: bytes) -> int:
    """A mount: its root, which may be a file."""
    return os.open(mount_point, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
