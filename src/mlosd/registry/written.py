"""A file that a job wrote, on its way to become a version of a model, and what is known of it so far."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from mlosd.kernel.file_handle import FileHandle
from mlosd.registry.keep import State, Taken

Key = tuple[str, int, bytes]


@dataclass(frozen=True, slots=True)
class Closed:
    """A file that a job closed after writing. `path`: as it was then; `reopen` opens it again. Raises OSError.

    `size` and `mtime_ns`: as the job left it; -1 where nobody could look.
    """

    run: int
    uid: int
    path: bytes
    filesystem: str
    handle: FileHandle
    parent: FileHandle
    size: int
    mtime_ns: int
    reopen: Callable[[], int]

    @property
    def key(self) -> Key:
        """What makes it the same file under any name."""
        return self.filesystem, self.handle.type, self.handle.bytes

    def is_left_as(self, now: State) -> bool:
        """Whether it still is as the job left it. Times that were set to the past by hand change no content."""
        return self.size < 0 or (now.size == self.size and now.mtime_ns <= self.mtime_ns)


class Stage(Enum):
    """What a written file waits for."""

    QUEUED = "its turn"
    WORKING = "the end of its copy"
    UNNAMED = "a name that is not temporary"
    OPEN = "its next close, or the end of the job"
    DONE = "the next write"


@dataclass(slots=True, eq=False)
class Written:
    """`fd`: ours, or None when too many are open. `taken`: what was taken of it last."""

    closed: Closed
    path: bytes
    fd: int | None
    stage: Stage = Stage.OPEN
    is_stale: bool = False
    taken: Taken | None = None

    def release(self) -> None:
        """Close the descriptor."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def open(self) -> int:
        """The file, opened again if need be. Raises OSError: it is gone."""
        if self.fd is None:
            self.fd = self.closed.reopen()
        return self.fd

    def look_for_name(self) -> bool:
        """Learn what the file is called now; False when no name leads to it any more."""
        fd = self.open()
        own = os.fstat(fd)
        told = os.readlink(f"/proc/self/fd/{fd}".encode("ascii"))  # noqa: PTH115 - bytes
        for path in (told, self.path):
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
                self.path = path
                return True
        return own.st_nlink > 0

    @property
    def name(self) -> bytes:
        """The last component of its path."""
        return self.path.rpartition(b"/")[2]
