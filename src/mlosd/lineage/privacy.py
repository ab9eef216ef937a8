"""What the user of a job may know of the files that were used in it. We open files as root, and programs with the
set-user-ID bit use files that their user could not: nobody learns through lineage what the file system would not tell.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Self

from mlosd.core.own_thread import in_own_thread
from mlosd.kernel.file_handle import FileHandle
from mlosd.kernel.fsuid import files_of
from mlosd.kernel.posix_acl import ACCESS
from mlosd.lineage.account import Used
from mlosd.lineage.filesystems import Filesystems
from mlosd.lineage.subject import Subject

LEFT_OUT = "programs with more rights than its user, such as sudo, used files that the user may not open: left out"
BATCH = 100


class May(Enum):
    """How much of a file is somebody's to know."""

    READ = "all of it"
    USE = "that it is there: they may write or execute it"
    NOTHING = "not even its name"


@dataclass(frozen=True, slots=True)
class Rights:
    """Of a user over files. `uid` None: of whoever sees all that we see."""

    uid: int | None
    gid: int = 0
    groups: tuple[int, ...] = ()

    @classmethod
    def of(cls, subject: Subject) -> Self:
        """Those of a job's user. A daemon that is not root has only its own."""
        if subject.uid == 0 or os.geteuid() != 0:
            return cls(None)
        return cls(subject.uid, subject.gid, subject.groups)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have them in this thread until the with-block ends."""
        if self.uid is None:
            yield
        else:
            with files_of(self.uid, self.gid, self.groups):
                yield

    def may_read(self, fd: int) -> bool:
        """Whether this open file is one that they may open for reading. Asks nobody but the kernel, of an inode."""
        if self.uid in (None, os.fstat(fd).st_uid):
            return True
        with self.taken():
            return _opens(fd)

    def over(self, fd: int, path: bytes) -> May:
        """What may be known of an open file that a job knew by this path. To be asked while they are taken."""
        status = os.fstat(fd)
        if self.uid in (None, status.st_uid):
            return May.READ
        if _is_out_of_reach(path):
            return May.NOTHING
        if _opens(fd):
            return May.READ
        in_group = status.st_gid in (self.gid, *self.groups) or _has_list(fd)
        return May.USE if status.st_mode & (0o070 if in_group else 0o007) else May.NOTHING


@dataclass(frozen=True, slots=True)
class Known:
    """The files of a job that its user may know. `unread`: numbers of those whose content is not theirs to know."""

    files: tuple[Used, ...]
    unread: frozenset[int]
    is_all: bool


async def known(files: Iterable[Used], rights: Rights, filesystems: Filesystems) -> Known:
    """Those that the job's user may know. What is gone, nobody can ask about: it stays as the job saw it."""
    if rights.uid is None:
        return Known(tuple(files), frozenset(), is_all=True)
    stay: list[Used] = []
    unread: set[int] = set()
    is_all = True
    every = tuple(files)
    for start in range(0, len(every), BATCH):
        some = every[start : start + BATCH]
        answers = await in_own_thread(partial(_ask, some, rights, filesystems))
        for used, may in zip(some, answers, strict=True):
            if may is May.NOTHING:
                is_all = False
                continue
            stay.append(used)
            if may is May.USE:
                unread.add(used.first.number)
    return Known(tuple(stay), frozenset(unread), is_all)


def _ask(some: Sequence[Used], rights: Rights, filesystems: Filesystems) -> list[May]:
    # Opening by handle is root's right: first all are opened, then the user's rights are taken.
    opened: list[int | None] = []
    try:
        for used in some:
            opened.append(_open(used, filesystems))
        with rights.taken():
            return [
                May.READ if fd is None else rights.over(fd, used.path or b"")
                for fd, used in zip(opened, some, strict=True)
            ]
    finally:
        for fd in opened:
            if fd is not None:
                os.close(fd)


def _open(used: Used, filesystems: Filesystems) -> int | None:
    first = used.first
    with suppress(OSError):
        return filesystems.open(first.filesystem, FileHandle(first.handle_type, first.handle))
    return None


def _opens(fd: int) -> bool:
    try:
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _is_out_of_reach(path: bytes) -> bool:
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except (OSError, ValueError):
        pass  # renamed, or of another mount namespace: its inode says who may use it
    return False


def _has_list(fd: int) -> bool:
    # Whom it names, and for what, the mask of all its entries bounds: those are the group's bits (acl(5)).
    try:
        return bool(os.getxattr(fd, ACCESS))
    except OSError:
        return False
