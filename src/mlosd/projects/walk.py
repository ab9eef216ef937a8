"""Walk a project's tree by directory descriptors, and look at what is in it. Enters nothing through symbolic links.

A directory that is one dataset is handed out whole and not entered.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlosd.kernel.file_handle import FileHandle, name_to_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.kernel.openat2 import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from mlosd.store.projects import Found

SKIPPED = frozenset({".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", "node_modules"})
DIRECTORY = "directory"
"""The format of a directory that is one dataset."""

_BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a tree counts. `role`: that of a file's path, None where it is nobody's business.

    `is_dataset`: whether a directory is one dataset, by what was declared or is known. `roll_up`: so is one with more
    files of its own than this that are data or nothing in particular. `ours`: (device, inode) of directories of mlosd
    itself, which are not entered.
    """

    role: Callable[[str], str | None]
    is_dataset: Callable[[str], bool]
    roll_up: int
    ours: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory on the way. `fd`: open until the next one is asked for; `path`: below the root, "" is the root.

    `files`: its regular files and symbolic links, by name; of a dataset, none.
    """

    path: str
    fd: int
    is_dataset: bool
    files: Sequence[str] = ()
    root: int = -1


@dataclass(slots=True)
class Looking:
    """Looks at files. `notes`: what their file systems cannot tell."""

    notes: list[str] = field(default_factory=list)
    _filesystems: dict[int, str] = field(default_factory=dict)

    def at(self, root: int, directory: "Parent", name: str, *, path: str, role: str) -> Found | None:
        """What the name in the directory means now; None: no file below the root. Raises OSError: nothing any more."""
        own = status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        handle = self.handle(directory.fd, name, status)
        if is_link := stat.S_ISLNK(status.st_mode):
            # A cache of models swaps links: the resource is the link, its content that of the file it leads to.
            fd = follow_beneath(root, path, os.O_PATH)
            status = os.fstat(fd)
            os.close(fd)
        is_file = stat.S_ISREG(status.st_mode)
        if not is_file and role != "root":
            return None
        return Found(
            role=role,
            path=path,
            name=os.fsencode(name),
            filesystem=directory.filesystem,
            handle_type=handle.type,
            handle=handle.bytes,
            parent_type=directory.handle.type,
            parent=directory.handle.bytes,
            inode=own.st_ino,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            links=own.st_nlink if is_file else 1,
            is_link=is_link,
        )

    def parent(self, fd: int) -> "Parent":
        """An open directory, as the parent of what is looked at in it."""
        status = os.fstat(fd)
        if status.st_dev not in self._filesystems:
            self._filesystems[status.st_dev] = str(filesystem_id(fd))
        return Parent(fd, self.handle(fd, ".", status), self._filesystems[status.st_dev])

    def parent_of(self, fd: int) -> FileHandle:
        """The handle of the directory that an open one lies in."""
        return self.handle(fd, "..", os.stat("..", dir_fd=fd))

    def handle(self, directory: int, name: str, status: os.stat_result) -> FileHandle:
        """The handle of a name; its inode number where the file system has no handles."""
        try:
            return name_to_handle_at(name, dirfd=directory)
        except FileNotFoundError:
            raise
        except OSError as e:
            self.notes.append(f"degraded: no file handles here ({e.strerror}); files are known by inode number")
            return FileHandle(0, status.st_ino.to_bytes(8, "little"))


@dataclass(frozen=True, slots=True)
class Parent:
    """An open directory and what identifies it."""

    fd: int
    handle: FileHandle
    filesystem: str


def walk(root: int, plan: Plan, top: str = "") -> Iterator[Directory]:
    """Every directory at and below `top` that the plan enters or counts as one, and its files, parents first."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            fd = open_beneath(root, path or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # it went away, or is nobody's to read
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) in plan.ours:
                continue
            try:
                directory, below = _list(root, fd, path, plan)
            except OSError:
                continue  # some open and do not let themselves be listed: /proc has them, and so have bad disks
            yield directory
        finally:
            os.close(fd)
        waiting += sorted(below, reverse=True)


def subdirectories(root: int, top: str, *, ours: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """Every directory at and below `top`, in datasets too, with its fd: what there is to watch.

    It is listed only when the next one is asked for, so that nothing is missed between the two.
    """
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            fd = open_beneath(root, path or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) in ours:
                continue
            yield path, fd
            try:
                with os.scandir(fd) as entries:
                    names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and not is_skipped(e.name)]
            except OSError:
                continue
        finally:
            os.close(fd)
        waiting += [f"{path}/{name}" if path else name for name in sorted(names, reverse=True)]


def open_beneath(root: int, path: str, flags: int) -> int:
    """Open what `path` means below the root, through no symbolic link. Raises OSError."""
    return openat2(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, resolve=_BENEATH, dirfd=root)


def follow_beneath(root: int, path: str, flags: int) -> int:
    """The same, also through symbolic links, as long as they stay below the root."""
    resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS
    return openat2(path, flags, resolve=resolve, dirfd=root)


@contextmanager
def parent_of(root: int, path: str) -> Iterator[tuple[int, str]]:
    """The directory that a path below the root lies in, open, and its name there. Raises OSError."""
    directory, _, name = path.rpartition("/")
    fd = open_beneath(root, directory or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd, name
    finally:
        os.close(fd)


def is_skipped(name: str) -> bool:
    """Whether a directory of this name is never entered."""
    return name in SKIPPED


def _list(root: int, fd: int, path: str, plan: Plan) -> tuple[Directory, list[str]]:
    """A directory, and the paths of those below it to go on with."""
    whole = Directory(path, fd, is_dataset=True)
    if path and plan.is_dataset(path):
        return whole, []
    files, below, data = [], [], 0
    with os.scandir(fd) as entries:
        for entry in entries:
            here = f"{path}/{entry.name}" if path else entry.name
            if entry.is_dir(follow_symlinks=False):
                if not is_skipped(entry.name):
                    below.append(here)
            elif entry.is_file(follow_symlinks=False):
                files.append(entry.name)
                data += path != "" and plan.role(here) in (None, "dataset")
                if data > plan.roll_up:
                    return whole, []
            elif entry.is_symlink():
                files.append(entry.name)
    return Directory(path, fd, is_dataset=False, files=sorted(files), root=root), below
