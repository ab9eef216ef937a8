"""The directory that a model lives in, held open: put another file in the model's place in one step, and take it back.

A path of a user is walked once, following no symbolic link, and everything after that is relative to the directory. A
file that is put in place lies beside the live one first; after the step the replaced one is there, under that name.
"""

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlosd.core.errors import NotPermitted, Refused
from mlosd.kernel.openat2 import RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from mlosd.kernel.renameat2 import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2

PREFIX = ".mlosd-"
_NO_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KEPT_ATTRIBUTES = ("user.", "system.posix_acl_access", "security.selinux")


@dataclass(frozen=True, slots=True)
class Place:
    """An open directory and the name of the model's file in it. Close it."""

    directory: int
    name: str

    @classmethod
    def open(cls, path: Path, *, owner: int) -> Self:
        """The place of this file. Raises Refused unless its directory still is the owner's."""
        directory = open_directory(path.parent)
        if os.fstat(directory).st_uid != owner:
            os.close(directory)
            raise Refused(f"{path.parent} belongs to somebody else now", hint="nothing was changed")
        return cls(directory, path.name)

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self.directory)

    def live(self, *, owner: int) -> int | None:
        """The model's file, open for reading; None when it is gone. Raises Refused: it is no file of the owner's."""
        try:
            fd = os.open(self.name, _READ, dir_fd=self.directory)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise Refused(f"{self.name}: {e.strerror}", hint="a model lives in a regular file") from e
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
            os.close(fd)
            raise Refused(f"{self.name} is no file of the model's owner", hint="nothing was changed")
        return fd

    def fresh(self) -> tuple[str, int]:
        """A new file beside the live one: its name and a descriptor."""
        name = f"{PREFIX}{os.urandom(8).hex()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return name, os.open(name, flags, 0o600, dir_fd=self.directory)

    def inode(self, name: str) -> int | None:
        """The inode that a name in the directory means."""
        try:
            return os.stat(name, dir_fd=self.directory, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return None

    def swap(self, fresh: str) -> None:
        """Put the fresh file in place. The replaced one has the fresh name then; none, if nothing was replaced."""
        if self.inode(self.name) is None:
            self._rename(fresh, self.name, RENAME_NOREPLACE)
            return
        try:
            self._rename(fresh, self.name, RENAME_EXCHANGE)
        except OSError as e:
            if e.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            # No exchange on this file system (NFS): the step is a rename, and the replaced file has a second name.
            os.link(self.name, _spare(fresh), src_dir_fd=self.directory, dst_dir_fd=self.directory)
            self._rename(fresh, self.name, 0)
            self._rename(_spare(fresh), fresh, 0)

    def put_right(self, fresh: str, *, is_done: bool, inode: int, replaced: int | None) -> None:
        """Finish what `swap` began, or undo it. `inode`: of the fresh file; `replaced`: of the one that was live."""
        spare = _spare(fresh)
        if self.inode(spare) == replaced is not None:
            if self.inode(fresh) is None:
                self._rename(spare, fresh, 0)
            else:
                os.unlink(spare, dir_fd=self.directory)
        if not is_done and self.inode(self.name) == inode:
            if replaced is not None and self.inode(fresh) == replaced:
                self._rename(fresh, self.name, 0)
            elif replaced is None:
                os.unlink(self.name, dir_fd=self.directory)
        # What was live goes only when something of ours is in its place.
        if self.inode(fresh) in ({inode, replaced} if is_done else {inode}) - {None}:
            os.unlink(fresh, dir_fd=self.directory)
        os.fsync(self.directory)

    def _rename(self, old: str, new: str, flags: int) -> None:
        names = os.fsencode(old), os.fsencode(new)
        renameat2(*names, old_dirfd=self.directory, new_dirfd=self.directory, flags=flags)


def open_directory(path: Path) -> int:
    """A directory, reached through no symbolic link. Raises Refused."""
    try:
        return openat2(path, os.O_RDONLY | os.O_DIRECTORY, resolve=_NO_LINKS)
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}", hint="the directory of a model is one that exists") from e


def open_own(path: Path, *, uid: int, anybody: bool) -> int:
    """A file of the caller's, open for reading. `anybody`: an operator may name any.

    Raises NotPermitted with the same words whether it is missing or another user's, so that nobody learns which.
    """
    refused = NotPermitted(f"{path} is not a file of yours", hint="give the real path of a regular file that you own")
    try:
        fd = openat2(path, _READ, resolve=_NO_LINKS)
    except OSError as e:
        raise refused from e
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not (anybody or status.st_uid == uid):
        os.close(fd)
        raise refused
    return fd


def dress(fresh: int, live: int | None, *, owner: int, directory: int) -> None:
    """Give a fresh file the owner, the mode and the access list of the live one."""
    if live is None:
        os.fchown(fresh, owner, os.fstat(directory).st_gid)
        return
    status = os.fstat(live)
    os.fchown(fresh, status.st_uid, status.st_gid)
    os.fchmod(fresh, status.st_mode & 0o777)
    for attribute in os.listxattr(live):
        if attribute.startswith(_KEPT_ATTRIBUTES):
            with suppress(OSError):
                os.setxattr(fresh, attribute, os.getxattr(live, attribute))


def _spare(fresh: str) -> str:
    return f"{fresh}~"
