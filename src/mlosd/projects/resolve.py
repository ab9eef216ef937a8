"""Find the files of a plan again: by handle, wherever they are called now, or by the path they had.

Opening by handle asks for no path and therefore for no permission: what is found is opened with the rights of whoever
asked, and nothing of it is handed out. Files on network file systems are left alone unless they are asked for, since
looking at one may take for ever.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlosd.kernel import mountinfo
from mlosd.kernel.file_handle import FileHandle, name_to_handle_at, open_by_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.kernel.fsuid import files_of
from mlosd.kernel.openat2 import RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from mlosd.store.warming import Row

How = Literal["handle", "path"]
Why = Literal["missing", "refused", "remote"]

MOST_FILES_OF_A_DIRECTORY = 200_000
_NO_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose right to read counts."""

    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A file that was found. `mount`: the descriptor that its handle belongs to; None: only its path leads to it."""

    mount: int | None
    handle: FileHandle
    path: bytes
    size: int


@dataclass(slots=True)
class Found:
    """What became of a plan. `known`: (device, inode) of all that was found, since many names may lead to one."""

    targets: list[Target] = field(default_factory=list)
    by: dict[How, int] = field(default_factory=lambda: {"handle": 0, "path": 0})
    without: dict[Why, int] = field(default_factory=lambda: {"missing": 0, "refused": 0, "remote": 0})
    known: set[tuple[int, int]] = field(default_factory=set)

    def is_new(self, status: os.stat_result) -> bool:
        """Whether this file was not found before; from now on it was."""
        identity = (status.st_dev, status.st_ino)
        before = len(self.known)
        self.known.add(identity)
        return len(self.known) > before


class Resolver:
    """Opens files for one warming. `reader`: None where this process has no more rights than whoever asked.

    Owns a descriptor of each file system. Close it.
    """

    def __init__(self, reader: Reader | None, *, remote: bool, mounts: Sequence[mountinfo.Mount]) -> None:
        self._reader = reader
        # Without root there is no opening by handle (CAP_DAC_READ_SEARCH).
        self._by_handle = os.geteuid() == 0
        self._mounts = mountinfo.visible(mounts)
        kept_away = () if remote else tuple(mount for mount in self._mounts if mount.is_remote)
        self._remote = tuple(os.fsencode(mount.target) + b"/" for mount in kept_away)
        self._filesystems: dict[str, int] | None = None
        self._opened = ExitStack()

    def close(self) -> None:
        """Let go of the file systems."""
        self._opened.close()

    def find(self, rows: Iterable[Row], found: Found) -> None:
        """Add the files of these rows that were not found already."""
        for filesystem, kind, handle, root, below in rows:
            path = below if below.startswith(b"/") else root + b"/" + below
            if self._remote and path.startswith(self._remote):
                found.without["remote"] += 1
                continue
            try:
                self._look(filesystem, FileHandle(kind, handle), path, found)
            except PermissionError:
                found.without["refused"] += 1
            except OSError:
                found.without["missing"] += 1

    @contextmanager
    def opened(self, target: Target) -> Iterator[int]:
        """The file, readable, if whoever asked may read it. Raises OSError."""
        fd = self._hold(target.mount, target.handle, target.path)
        try:
            readable = self._reopen(fd)
        finally:
            os.close(fd)
        try:
            yield readable
        finally:
            os.close(readable)

    def _look(self, filesystem: str, handle: FileHandle, path: bytes, found: Found) -> None:
        mount = self._mount(filesystem) if self._by_handle else None
        how: How = "handle" if mount is not None else "path"
        try:
            fd = self._hold(mount, handle, path)
        except OSError:
            if mount is None:
                raise
            # The inode is gone; what has its name now is what the project means.
            mount, how = None, "path"
            fd = self._hold(None, handle, path)
        try:
            status = os.fstat(fd)
            if not found.is_new(status):
                return
            if stat.S_ISDIR(status.st_mode):
                self._enter(fd, mount, path, found)
            elif stat.S_ISREG(status.st_mode):
                os.close(self._reopen(fd))
                found.targets.append(Target(mount, handle, path, status.st_size))
            found.by[how] += 1
        finally:
            os.close(fd)

    def _hold(self, mount: int | None, handle: FileHandle, path: bytes) -> int:
        """The file by handle, or where there is no mount by path; a descriptor that can do nothing but be reopened."""
        if mount is None:
            return openat2(os.fsdecode(path), os.O_PATH, resolve=_NO_LINKS)
        fd = open_by_handle_at(mount, handle, os.O_PATH)
        if os.fstat(fd).st_nlink == 0:
            # Without a name it lives only until somebody closes it.
            os.close(fd)
            raise FileNotFoundError(path)
        return fd

    def _reopen(self, fd: int) -> int:
        with self._as_reader():
            return os.open(f"/proc/self/fd/{fd}", _READ)

    def _as_reader(self) -> AbstractContextManager[None]:
        if self._reader is None:
            return nullcontext()
        return files_of(self._reader.uid, self._reader.gid, self._reader.groups)

    def _enter(self, fd: int, mount: int | None, path: bytes, found: Found) -> None:
        """A directory that is one resource: its files, by name, as far as whoever asked may look."""
        with self._as_reader():
            directory = os.open(f"/proc/self/fd/{fd}", _READ | os.O_DIRECTORY)
            try:
                for folder, folders, names, at in os.fwalk(b".", dir_fd=directory, follow_symlinks=False):
                    here = os.path.normpath(b"/".join((path, folder)))
                    folders[:] = sorted(name for name in folders if here + b"/" + name + b"/" not in self._remote)
                    for name in sorted(names):
                        if len(found.targets) >= MOST_FILES_OF_A_DIRECTORY:
                            return
                        with suppress(OSError):
                            self._add(at, name, mount, here + b"/" + name, found)
            finally:
                os.close(directory)

    def _add(self, at: int, name: bytes, mount: int | None, path: bytes, found: Found) -> None:
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and found.is_new(status):
            try:
                target = Target(mount, name_to_handle_at(os.fsdecode(name), dirfd=at), path, status.st_size)
            except OSError:
                target = Target(None, FileHandle(0, b""), path, status.st_size)
            found.targets.append(target)

    def _mount(self, filesystem: str) -> int | None:
        """A descriptor on a file system of this name, if it is mounted where we look."""
        if self._filesystems is None:
            self._filesystems = {}
            for mount in self._mounts:
                if mount.fstype in _WITHOUT_FILES or os.fsencode(mount.target) + b"/" in self._remote:
                    continue
                with suppress(OSError):
                    fd = os.open(mount.target, _READ | os.O_DIRECTORY)
                    self._opened.callback(os.close, fd)
                    self._filesystems.setdefault(str(filesystem_id(fd)), fd)
        return self._filesystems.get(filesystem)


_WITHOUT_FILES = frozenset(
    {"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "bpf", "tracefs", "debugfs", "securityfs", "autofs"}
    | {"pstore", "configfs", "fusectl", "binfmt_misc", "rpc_pipefs", "nsfs", "selinuxfs", "efivarfs", "hugetlbfs"}
)


def is_on_remote(path: Path, mounts: Sequence[mountinfo.Mount]) -> bool:
    """Whether the path leads to such a mount. Looks at no file."""
    mount = mountinfo.of(path, mounts)
    return mount is not None and mount.is_remote
