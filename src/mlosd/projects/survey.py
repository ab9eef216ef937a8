"""Look through a project's root: which files are there, and what identifies them. Reads names and inodes, no contents.

The root is a directory fd that was opened without following a symbolic link; everything is relative to it.
"""

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlosd.core.errors import NotFound, NotPermitted, Refused
from mlosd.kernel.file_handle import FileHandle
from mlosd.kernel.openat2 import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from mlosd.projects.rights import Rights
from mlosd.projects.walk import DIRECTORY, Directory, Looking, Parent, Plan, walk
from mlosd.store.projects import Found

LARGEST_PROJECT_FILE = 1 << 20


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


def is_there(root: Path, path: str) -> bool:
    """Whether a file that was found once still has its name. Not through a link: that may lead anywhere by now."""
    resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    try:
        top = openat2(root, os.O_PATH | os.O_DIRECTORY, resolve=resolve)
        try:
            os.close(openat2(path, os.O_PATH | os.O_NOFOLLOW, resolve=resolve | RESOLVE_BENEATH, dirfd=top))
        finally:
            os.close(top)
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


def survey(root: int, plan: Plan, *, most: int) -> Survey:
    """Every file below the root that has a role, every dataset, and the root itself. Raises Refused beyond `most`."""
    looking = Looking()
    top = looking.at(root, looking.parent(root), ".", path=".", role="root")
    found = [top] if top else []
    for directory in walk(root, plan):
        found += look_into(looking, directory, plan)
        if len(found) > most:
            raise Refused(
                f"more than {most} files have a role",
                hint='narrow the globs in mlos.toml, declare big directories there: datasets = ["data/images"],'
                " or raise projects.max_resources",
            )
    return Survey(tuple(found), tuple(dict.fromkeys(looking.notes)))


def survey_as(rights: Rights, root: int, plan: Plan, *, most: int) -> Survey:
    """The same with a user's rights, in a thread that is nobody else's: what they may not read is not found."""
    with rights.taken():
        return survey(root, plan, most=most)


def look_into(looking: Looking, directory: Directory, plan: Plan) -> list[Found]:
    """The files of a directory that have a role; of a dataset, itself."""
    parent, found = looking.parent(directory.fd), list[Found]()
    if directory.is_dataset:
        status, up = os.fstat(directory.fd), looking.parent_of(directory.fd)
        name = directory.path.rpartition("/")[2]
        return [dataset_found(parent, up, status, path=directory.path, name=name)]
    for name in directory.files:
        path = f"{directory.path}/{name}" if directory.path else name
        if role := plan.role(path):
            with suppress(OSError):  # it went away, or is a link that leads out of the project
                file = looking.at(directory.root, parent, name, path=path, role=role)
                found += [file] if file else []
    return found


def dataset_found(here: Parent, up: FileHandle, status: os.stat_result, *, path: str, name: str) -> Found:
    """A directory that is one dataset. Its size and times are those of its manifest, and nobody knows that yet."""
    return Found(
        role="dataset",
        path=path,
        name=os.fsencode(name),
        filesystem=here.filesystem,
        handle_type=here.handle.type,
        handle=here.handle.bytes,
        parent_type=up.type,
        parent=up.bytes,
        inode=status.st_ino,
        size=0,
        mtime_ns=0,
        ctime_ns=0,
        format=DIRECTORY,
    )


def _hint(error: OSError) -> str:
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return "give the real path of a directory, with no symbolic link in it: `readlink -f PATH`"
    return "a project is a directory that exists"
