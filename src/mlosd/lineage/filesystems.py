"""The file systems of a trace: which one an f_fsid means, and how a file of it is opened by its handle.

Owns a directory fd of each. Opening by handle asks for no path and therefore for no permission: what is opened here
never leaves the daemon but to the worker that digests it.
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
    fd: int
    id: str


class Filesystems:
    """Those that traces covered, opened at first need. Close it."""

    def __init__(self) -> None:
        self._by_fsid: dict[str, _Mounted] = {}

    def cover(self, covered: Covered) -> None:
        """Learn where a file system is mounted. One that cannot be opened stays unknown."""
        if covered.filesystem in self._by_fsid:
            return
        try:
            fd = os.open(covered.mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        self._by_fsid[covered.filesystem] = _Mounted(fd, str(filesystem_id(fd)))

    def name(self, fsid: str) -> str:
        """What the metadata table calls a file system: its UUID where it has one."""
        mounted = self._by_fsid.get(fsid)
        return mounted.id if mounted else f"fsid:{fsid}"

    def open(self, fsid: str, handle: FileHandle) -> int:
        """Open a regular file again, wherever it is called now. Raises OSError: it is gone, or none of ours."""
        mounted = self._by_fsid.get(fsid)
        if mounted is None:
            raise FileNotFoundError(fsid)
        fd = open_by_handle_at(mounted.fd, handle, _FLAGS)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileNotFoundError(fsid)
        return fd

    def close(self) -> None:
        """Let go of all of them."""
        for mounted in self._by_fsid.values():
            os.close(mounted.fd)
        self._by_fsid.clear()


def path_of(fd: int) -> bytes | None:
    """The path that an open file has now; None when no name leads to it any more (proc_pid_fd(5))."""
    path = os.readlink(f"/proc/self/fd/{fd}".encode("ascii"))  # noqa: PTH115 - bytes
    return None if path.endswith(b" (deleted)") and os.fstat(fd).st_nlink == 0 else path
