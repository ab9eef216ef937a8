"""Keep a file as a version of a model: its bytes in the store first, then the rows that tell of them."""

import errno
import os
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from mlosd.content.identity import Content, ContentChanged, ContentUnreadable, Identity, NoSpace
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel import reflink
from mlosd.kernel.file_handle import FileHandle, fd_to_handle, name_to_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.registry import names
from mlosd.registry.blobs import Blobs, Incoming
from mlosd.store.models import STORED, Added, Kept, Models
from mlosd.store.versions import Seen

NO_SPACE = "not captured (no space)"
TOO_LARGE = "it is larger than [lineage] largest_digest_gib allows to read"


class Reads(Protocol):
    """Reads files in a process apart: content.Reader."""

    async def identify(self, fd: int, *, name: bytes) -> Identity: ...
    async def read(self, fd: int, *, name: bytes) -> Content: ...
    async def copy(self, fd: int, to: int, *, name: bytes) -> Content: ...


@dataclass(frozen=True, slots=True)
class Where:
    """Where a file is: its project, its path there, and what identifies it and its directory.

    `role_by`: who says that it is a model.
    """

    project: str
    path: str
    filesystem: str
    handle: FileHandle
    parent: FileHandle
    role_by: str = "observed"

    @property
    def name(self) -> bytes:
        """Its last component."""
        return os.fsencode(self.path.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class State:
    """What tells one content of a file from the next."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int

    def is_content_of(self, other: "State") -> bool:
        """Whether nobody wrote between the two: a write sets the time, a rename and a chmod do not."""
        return (self.inode, self.size, self.mtime_ns) == (other.inode, other.size, other.mtime_ns)


@dataclass(frozen=True, slots=True)
class Taken:
    """The content of a file and what became of its bytes."""

    content: Content
    kept: Kept
    state: State


class Keeping:
    """Takes files into the store. `reserve`: bytes of its disk that are left to others.

    `largest`: of more bytes than that a file is not read: a sparse one may be as large as it likes.
    """

    def __init__(self, *, models: Models, blobs: Blobs, reader: Reads, reserve: int, largest: int) -> None:
        self._models = models
        self._blobs = blobs
        self._reader = reader
        self._reserve = reserve
        self._largest = largest

    async def keep(self, fd: int, where: Where, *, run: int | None, name: str | None = None) -> Added:
        """Keep an open file as the newest version of its model, called `name` if it is new.

        Raises ContentUnreadable, ContentChanged.
        """
        async with self.taking(fd, name=where.name) as taken:
            return await self.note(taken, where, run=run, name=name)

    async def note(
        self, taken: Taken, where: Where, *, run: int | None, name: str | None = None, but: str | None = None
    ) -> Added:
        """Write the rows of what was taken, while it is being held. `but`: what is not sure about it."""
        kept = taken.kept
        if but and kept.stored:
            kept = Kept(kept.digest, f"{kept.captured} ({but})", kept.stored)
        called = name or names.of_path(where.path)
        row = seen(where, taken.state, taken.content)
        return await self._models.keep(row, kept, name=called, run=run, at=time.time())

    @asynccontextmanager
    async def taking(self, fd: int, *, name: bytes) -> AsyncIterator[Taken]:
        """The content of an open file, in the store if it fits; held there until the row is written."""
        before = await in_own_thread(lambda: state(fd))
        incoming, content = await self._fill(fd, before, name)
        try:
            after = await in_own_thread(lambda: state(fd))
            if not before.is_content_of(after) or content.size != before.size:
                raise ContentChanged
            with self._blobs.holding(content.digest):
                captured, stored = NO_SPACE, 0
                if self._blobs.has(content.digest) or (incoming and await self._settle(incoming, content.digest)):
                    captured, stored = STORED, content.size
                yield Taken(content, Kept(content.digest, captured, stored), after)
        finally:
            if incoming:
                self._blobs.drop(incoming)

    async def keep_again(self, taken: Taken, where: Where, *, run: int | None) -> Added | None:
        """The same content under another name; None when its bytes are not in the store."""
        with self._blobs.holding(taken.kept.digest):
            if not self._blobs.has(taken.kept.digest):
                return None
            return await self.note(taken, where, run=run)

    async def _fill(self, fd: int, before: State, name: bytes) -> tuple[Incoming | None, Content]:
        if before.size > self._largest:
            raise ContentUnreadable(TOO_LARGE)
        incoming = None
        try:
            incoming = self._blobs.incoming()
            return incoming, await self._copy(fd, incoming, before, name)
        except (NoSpace, OSError) as e:
            if incoming:
                self._blobs.drop(incoming)
            if isinstance(e, OSError) and not is_full(e):
                raise ContentUnreadable(e.strerror or str(e)) from e
        except BaseException:
            if incoming:
                self._blobs.drop(incoming)
            raise
        # Its digest at least: the version can be recognised wherever it turns up.
        return None, await self._reader.read(fd, name=name)

    async def _copy(self, fd: int, incoming: Incoming, before: State, name: bytes) -> Content:
        if await in_own_thread(lambda: reflink.clone(fd, incoming.fd)):
            return await self._reader.read(incoming.fd, name=name)  # takes no room, and nobody can change it any more
        if before.size > self._blobs.room() - self._reserve:
            raise NoSpace
        return await self._reader.copy(fd, incoming.fd, name=name)

    async def _settle(self, incoming: Incoming, digest: bytes) -> bool:
        try:
            await in_own_thread(lambda: self._blobs.settle(incoming, digest))
        except OSError as e:
            if is_full(e):
                return False
            raise ContentUnreadable(e.strerror or str(e)) from e
        return True


def state(fd: int) -> State:
    """The state of an open file now."""
    status = os.fstat(fd)
    return State(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_nlink)


def locate(fd: int, directory: int, *, project: str, path: str, role_by: str) -> Where:
    """Where an open file is that was opened in an open directory. Handles where there are any, else inode numbers."""
    return Where(
        project=project,
        path=path,
        filesystem=str(filesystem_id(directory)),
        handle=_handle(fd),
        parent=_handle_of_directory(directory),
        role_by=role_by,
    )


def seen(where: Where, now: State, content: Content | None) -> Seen:
    """The file as the metadata table is told of it. `content`: None where the table knows it from before."""
    return Seen(
        project=where.project,
        path=where.path,
        role="model",
        role_by=where.role_by,
        filesystem=where.filesystem,
        handle_type=where.handle.type,
        handle=where.handle.bytes,
        parent_type=where.parent.type,
        parent=where.parent.bytes,
        name=where.name,
        inode=now.inode,
        size=now.size,
        mtime_ns=now.mtime_ns,
        ctime_ns=now.ctime_ns,
        links=now.links,
        digest=content.digest if content else None,
        format=content.identity.format if content else None,
        header=content.identity.as_json() if content else None,
    )


def is_full(error: OSError) -> bool:
    """Whether there was no room on the disk, or none that we may use."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_regular(fd: int) -> bool:
    """Whether it is a file with content of its own."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _handle(fd: int) -> FileHandle:
    with suppress(OSError):
        return fd_to_handle(fd)
    return FileHandle(0, os.fstat(fd).st_ino.to_bytes(8, "little"))


def _handle_of_directory(directory: int) -> FileHandle:
    with suppress(OSError):
        return name_to_handle_at(".", dirfd=directory)
    return FileHandle(0, os.fstat(directory).st_ino.to_bytes(8, "little"))
