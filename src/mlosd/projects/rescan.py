"""What is on the disk beside what is known: new, changed, moved and gone files become rows.

The decision is pure (`compare`); what must be read to take it is read by `digests`, and nothing is read twice.
"""

import asyncio
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from mlosd.content.identity import Content, ContentUnreadable, Identity
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel.file_handle import fd_to_handle
from mlosd.kernel.lease import has_writers
from mlosd.projects.inventory import wait_while_racy
from mlosd.projects.rights import Rights
from mlosd.projects.survey import look_into
from mlosd.projects.walk import DIRECTORY, Looking, Plan, follow_beneath, open_beneath, parent_of, walk
from mlosd.store.projects import Found, Known, Projects
from mlosd.store.versions import Digested, Seen, Versions

BATCH = 128


class Digests(Protocol):
    """Reads files to their end: content.Reader."""

    async def read_many(self, files: Sequence[tuple[int, bytes]]) -> list[Content | ContentUnreadable]:
        """The content of each (open file, name); the descriptors stay the caller's."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What is not as it was known. `looks`: what to note, the new ones and those that changed.

    `unread`: the paths of those that nobody has read before; that they are read now is no change of theirs.
    """

    looks: tuple[Found, ...]
    gone: tuple[Known, ...]
    unread: frozenset[str] = frozenset()

    @property
    def datasets(self) -> list[Found]:
        """The directories among them that are one dataset each."""
        return [file for file in self.looks if file.format == DIRECTORY]


@dataclass(slots=True)
class Told:
    """What a rescan came to. `busy`: files that were still being written; `unreadable`: that could not be read."""

    read: int = 0
    changed: int = 0
    gone: int = 0
    busy: int = 0
    unreadable: int = 0

    def text(self) -> str:
        """For people."""
        parts = [("new or changed", self.changed), ("gone", self.gone), ("being written", self.busy)]
        parts.append(("unreadable", self.unreadable))
        return ", ".join(f"{count} {what}" for what, count in parts if count) or "unchanged"


def compare(found: Iterable[Found], known: Mapping[str, Known]) -> Differences:
    """What must be noted so that the rows say what is found. Directories that are datasets only by their names."""
    left, looks, unread = dict(known), [], []
    for file in found:
        row = left.pop(file.path, None)
        if row is None or not _is_as_known(file, row):
            looks.append(file)
            if row is not None and not row.digested:
                unread.append(file.path)
    return Differences(tuple(looks), tuple(left.values()), frozenset(unread))


def _is_as_known(file: Found, row: Known) -> bool:
    identity = (file.filesystem, file.handle_type, file.handle, file.parent_type, file.parent, file.name)
    if identity != (row.filesystem, row.handle_type, row.handle, row.parent_type, row.parent, row.name):
        return False
    if file.role == "root" or file.format == DIRECTORY:
        return file.format == row.format or file.role == "root"
    return row.digested and (file.size, file.mtime_ns, file.ctime_ns) == (row.size, row.mtime_ns, row.ctime_ns)


class Rescan:
    """Looks at the files of a project and writes what differs."""

    def __init__(self, *, projects: Projects, versions: Versions, digests: Digests) -> None:
        self._projects = projects
        self._versions = versions
        self._digests = digests

    async def known(self, project: str) -> dict[str, Known]:
        """Everything that a project is known to have, by path; a little at a time, so that nobody waits."""
        rows: dict[str, Known] = {}
        after = ""
        while some := self._projects.known(project, after=after):
            rows |= {row.path: row for row in some}
            after = some[-1].path
            await asyncio.sleep(0)
        return rows

    async def some(
        self, project: str, root: int, rights: Rights, plan: Callable[[Mapping[str, Known]], Plan], paths: Iterable[str]
    ) -> Differences:
        """What differs at these paths, and below those that are directories."""
        tops = list(dict.fromkeys(paths))
        known = {row.path: row for top in tops for row in self._projects.known_below(project, top)}
        now = plan(known)
        found = await in_own_thread(lambda: _find_all(root, rights, now, tops))
        return compare(found.values(), known)

    async def settle(self, project: str, root: int, rights: Rights, role_by: str, differences: Differences) -> Told:
        """Read what must be read, and write all of it. Directories that are datasets are somebody else's to read."""
        told, looks = Told(gone=len(differences.gone)), iter(differences.looks)
        while some := list(islice(looks, BATCH)):
            seen = [seen_as(project, role_by, file) for file in some if file.role == "root"]
            files = [file for file in some if file.role != "root" and file.format != DIRECTORY]
            known, unread = self._recall(files)
            seen += [seen_as(project, role_by, file, digested) for file, digested in known]
            for file, content in await self.read(root, rights, unread, told) if unread else ():
                seen.append(seen_as(project, role_by, file, *_told_by(content)))
            told.changed += sum(one.path not in differences.unread for one in seen)
            if seen:
                await self._projects.saw(seen, (), at=time.time())
        if differences.gone:
            await self._projects.saw((), differences.gone, at=time.time())
        return told

    def _recall(self, files: Sequence[Found]) -> tuple[list[tuple[Found, Digested]], list[Found]]:
        """Those that were digested when they were as they are now, and the others."""
        known, unread = [], []
        for file in files:
            identity = (file.filesystem, file.handle_type, file.handle)
            if digested := self._versions.digest_of(identity, (file.size, file.mtime_ns, file.ctime_ns)):
                known.append((file, digested))
            else:
                unread.append(file)
        return known, unread

    async def read(
        self, root: int, rights: Rights, files: Sequence[Found], told: Told
    ) -> list[tuple[Found, Content | None]]:
        """The files as they were while they were read, and what they contain; None: that cannot be told."""
        opened = await in_own_thread(lambda: _open_all(root, rights, files))
        held = [(one.fd, one.file) for one in opened if one.fd is not None]
        told.busy += sum(one.busy for one in opened)
        try:
            contents = await self._digests.read_many([(fd, file.name) for fd, file in held]) if held else []
            done: list[tuple[Found, Content | None]] = []
            for (fd, file), content in zip(held, contents, strict=True):
                if not _same(os.fstat(fd), file):
                    told.busy += 1
                elif isinstance(content, Content):
                    told.read += 1
                    done.append((file, content))
                else:
                    told.unreadable += 1
                    done.append((file, None))
        finally:
            for fd, _ in held:
                os.close(fd)
        unreadable = [(one.file, None) for one in opened if one.fd is None and not one.busy and not one.gone]
        told.unreadable += len(unreadable)
        return done + unreadable


@dataclass(frozen=True, slots=True)
class _Opened:
    file: Found
    fd: int | None = None
    busy: bool = False
    gone: bool = False


def _open_all(root: int, rights: Rights, files: Sequence[Found]) -> list[_Opened]:
    with rights.taken():
        return [_open(root, file) for file in files]


def _open(root: int, file: Found) -> _Opened:
    """Open a file to read it. One that is being written is nobody's version yet."""
    try:
        opened = follow_beneath if file.is_link else open_beneath
        fd = opened(root, file.path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return _Opened(file, gone=True)
    except OSError:
        return _Opened(file)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return _Opened(file, gone=True)
        if has_writers(fd):
            os.close(fd)
            return _Opened(file, busy=True)
        wait_while_racy(os.fstat(fd))
        return _Opened(_as_open(fd, file), fd)
    except OSError:
        os.close(fd)
        return _Opened(file)


def _as_open(fd: int, file: Found) -> Found:
    """The file as it is now: another may have got its name since it was found."""
    status = os.fstat(fd)
    now = replace(file, size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)
    if file.is_link:
        return now
    now = replace(now, inode=status.st_ino, links=status.st_nlink)
    if status.st_ino == file.inode and file.handle_type == 0:
        return now
    with suppress(OSError):
        handle = fd_to_handle(fd)
        return replace(now, handle_type=handle.type, handle=handle.bytes)
    return now


def _same(status: os.stat_result, file: Found) -> bool:
    now = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return now == (file.size, file.mtime_ns, file.ctime_ns)


def _find_all(root: int, rights: Rights, plan: Plan, tops: Sequence[str]) -> dict[str, Found]:
    with rights.taken():
        return {file.path: file for top in tops for file in find(root, plan, top)}


def find(root: int, plan: Plan, top: str) -> Iterable[Found]:
    """What is at a path, and below it."""
    looking = Looking()
    try:
        with parent_of(root, top) as (fd, name):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                role = plan.role(top)
                file = looking.at(root, looking.parent(fd), name, path=top, role=role) if role else None
                return [file] if file else []
    except OSError:
        return []
    return [file for directory in walk(root, plan, top) for file in look_into(looking, directory, plan)]


def seen_as(
    project: str, role_by: str, file: Found, known: Digested | None = None, identity: Identity | None = None
) -> Seen:
    # What the user declared counts more than what the content says; what we assume by default, less.
    observed = identity is not None and identity.role is not None and role_by == "assumed"
    return Seen(
        project=project,
        path=file.path,
        role=identity.role if observed and identity and identity.role else file.role,
        role_by="observed" if observed else role_by,
        filesystem=file.filesystem,
        handle_type=file.handle_type,
        handle=file.handle,
        parent_type=file.parent_type,
        parent=file.parent,
        name=file.name,
        inode=file.inode,
        size=file.size,
        mtime_ns=file.mtime_ns,
        ctime_ns=file.ctime_ns,
        links=file.links,
        digest=known.digest if known else None,
        format=known.format if known else file.format,
        header=known.header if known else None,
    )


def _told_by(content: Content | None) -> tuple[Digested | None, Identity | None]:
    if content is None:
        return None, None
    identity = content.identity
    return Digested(content.digest, identity.format, identity.as_json()), identity
