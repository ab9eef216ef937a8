"""inotify(7): what changes in directories. Over inotify-simple, with names as bytes and directories given by fd."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from inotify_simple import INotify, flags, parse_events

MODIFY = int(flags.MODIFY)
CLOSE_WRITE = int(flags.CLOSE_WRITE)
MOVED_FROM = int(flags.MOVED_FROM)
MOVED_TO = int(flags.MOVED_TO)
CREATE = int(flags.CREATE)
DELETE = int(flags.DELETE)
ATTRIB = int(flags.ATTRIB)
DELETE_SELF = int(flags.DELETE_SELF)
MOVE_SELF = int(flags.MOVE_SELF)
UNMOUNT = int(flags.UNMOUNT)
Q_OVERFLOW = int(flags.Q_OVERFLOW)
IGNORED = int(flags.IGNORED)
ISDIR = int(flags.ISDIR)
ONLYDIR = int(flags.ONLYDIR)
EXCL_UNLINK = int(flags.EXCL_UNLINK)

_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to `name` in the directory watched as `wd`; no name: to the directory itself."""

    wd: int
    mask: int
    cookie: int
    name: bytes


class Inotify:
    """An inotify instance."""

    def __init__(self) -> None:
        """Raises OSError: EMFILE, this user has fs.inotify.max_user_instances of them already."""
        self._inotify = INotify(nonblocking=True)

    def fileno(self) -> int:
        """Readable when there are events."""
        fd: int = self._inotify.fileno()
        return fd

    def add_watch(self, directory: int, mask: int) -> int:
        """Watch an open directory; the same number for the same inode. ENOSPC: fs.inotify.max_user_watches."""
        # By its descriptor: a path could mean something else by now.
        return int(self._inotify.add_watch(f"/proc/self/fd/{directory}", mask | ONLYDIR))

    def add_file_watch(self, file: int, mask: int) -> int:
        """Watch an open file, O_PATH too. In sysfs and procfs only what programs write is seen, not what the kernel
        changes by itself."""
        return int(self._inotify.add_watch(f"/proc/self/fd/{file}", mask))

    def rm_watch(self, wd: int) -> None:
        """Stop watching. EINVAL: it ended by itself."""
        self._inotify.rm_watch(wd)

    def read(self) -> Sequence[Event]:
        """The events that are there, some of many."""
        try:
            data = os.read(self.fileno(), _AT_ONCE)
        except BlockingIOError:
            return ()
        return [Event(e.wd, e.mask, e.cookie, os.fsencode(e.name)) for e in parse_events(data)]

    def close(self) -> None:
        """Forget every watch."""
        self._inotify.close()
