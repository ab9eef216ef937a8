"""Look through a project's root: which files are there, and what identifies them. Reads names and inodes, no contents.

The root is a directory fd that was opened without following a symbolic link; everything is relative to it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlosd.core.errors import NotFound, NotPermitted, Refused
from mlosd.kernel.file_handle import FileHandle, name_to_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.kernel.openat2 import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from mlosd.projects.roles import Roles
from mlosd.store.projects import Found

LARGEST_PROJECT_FILE = 1 << 20
SKIPPED = frozenset({".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", "node_modules"})


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found. `notes`: what this file system cannot do for the project."""

    found: tuple[Found, ...]
    notes: tuple[str, ...]


def require_openat2() -> None:
    """Refuse to work where openat2(2) is blocked: without it a path of a user can be swapped under a root daemon."""
    try:
        os.close(openat2("/", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS))
    except OSError as e:
        raise Refused(
            f"openat2(2) is not usable here: {e.strerror}",
            hint="kernel 5.6 or newer; in a systemd unit RestrictSUIDSGID= and DynamicUser= block it",
        ) from e


def open_root(path: Path, *, uid: int, anybody: bool) -> int:
    """The project's root as a directory fd, if it is the caller's own. `anybody`: an operator may name any.

    Raises NotPermitted with the same words whether it is missing or another user's, so that nobody learns which.
    """
    refused = NotPermitted(f"{path} is not a directory of yours", hint="a project's root must belong to you")
    try:
        root = openat2(path, os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
    except OSError as e:
        if anybody:
            raise NotFound(f"{path}: {e.strerror}", hint=_hint(e)) from e
        raise refused from e
    if not anybody and os.fstat(root).st_uid != uid:
        os.close(root)
        raise refused
    return root


def is_there(path: Path) -> bool:
    """Whether a file that was found once still has its name. Not through a link: that may lead anywhere by now."""
    try:
        os.close(openat2(path, os.O_PATH, resolve=RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS))
    except OSError:
        return False
    return True


def read_project_file(root: int) -> bytes | None:
    """The text of mlos.toml in the root; None when there is none."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = openat2("mlos.toml", flags, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, dirfd=root)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise Refused(f"mlos.toml: {e.strerror}", hint="it must be a regular file in the project's root") from e
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refused("mlos.toml is not a regular file")
        text = os.read(fd, LARGEST_PROJECT_FILE + 1)
    finally:
        os.close(fd)
    if len(text) > LARGEST_PROJECT_FILE:
        raise Refused(f"mlos.toml is larger than {LARGEST_PROJECT_FILE} bytes")
    return text


def survey(root: int, roles: Roles, *, most: int) -> Survey:
    """Every file below the root that has a role, and the root itself. Raises Refused beyond `most` files."""
    notes: list[str] = []
    look = _Look(str(filesystem_id(root)), notes)
    found = [look.at(root, ".", path=".", role="root")]
    for directory, fd, names in _walk(root):
        for name in names:
            path = f"{directory}/{name}" if directory else name
            if role := roles.of(path):
                found.append(look.at(fd, name, path=path, role=role))
        if len(found) > most:
            raise Refused(
                f"more than {most} files have a role",
                hint="narrow the globs in mlos.toml, or raise projects.max_resources",
            )
    return Survey(tuple(found), tuple(dict.fromkeys(notes)))


def _walk(root: int) -> Iterator[tuple[str, int, list[str]]]:
    """(directory below the root, its fd, its regular files); symbolic links are never followed."""
    for directory, subdirectories, files, fd in os.fwalk(".", dir_fd=root, follow_symlinks=False):
        subdirectories[:] = sorted(name for name in subdirectories if name not in SKIPPED)
        yield directory.removeprefix(".").removeprefix("/"), fd, sorted(name for name in files if _is_regular(fd, name))


def _is_regular(fd: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class _Look:
    """Looks at files of one file system; `notes` collects what that cannot tell."""

    filesystem: str
    notes: list[str]

    def at(self, directory: int, name: str, *, path: str, role: str) -> Found:
        """What the name in the directory means now."""
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        handle, parent = self._handle(directory, name, status), self._handle(directory, ".", os.fstat(directory))
        return Found(
            role=role,
            path=path,
            name=os.fsencode(name),
            filesystem=self.filesystem,
            handle_type=handle.type,
            handle=handle.bytes,
            parent_type=parent.type,
            parent=parent.bytes,
            inode=status.st_ino,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            links=status.st_nlink if stat.S_ISREG(status.st_mode) else 1,
        )

    def _handle(self, directory: int, name: str, status: os.stat_result) -> FileHandle:
        try:
            return name_to_handle_at(name, dirfd=directory)
        except OSError as e:
            self.notes.append(f"degraded: no file handles here ({e.strerror}); files are known by inode number")
            return FileHandle(0, status.st_ino.to_bytes(8, "little"))


def _hint(error: OSError) -> str:
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return "give the real path of a directory, with no symbolic link in it: `readlink -f PATH`"
    return "a project is a directory that exists"
