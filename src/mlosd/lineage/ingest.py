"""From the account of a trace to rows: the version that the job found in each file, and the one that it left.

Must not own: how a file is kept one resource (store/versions.py), how it is digested (content/).
"""

import json
import os
import time
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import apsw

from mlosd.content.identity import Content, ContentUnreadable
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel.file_handle import FileHandle
from mlosd.lineage import places, privacy, rolled
from mlosd.lineage.account import READ, WRITE, Account, State, Used
from mlosd.lineage.filesystems import Filesystems
from mlosd.lineage.places import Root
from mlosd.lineage.privacy import Rights
from mlosd.lineage.rolled import Tops, roll_up
from mlosd.lineage.subject import Subject
from mlosd.store import lineage as rows
from mlosd.store.db import Database
from mlosd.store.lineage import Edge, ProcessRow
from mlosd.store.versions import Digested, Seen, Versions, see

BATCH = 100
AT_ONCE = 500
"""Rows of one transaction: the start of every other job waits for it."""

T = TypeVar("T")


class Digests(Protocol):
    """Reads files to their end: content.Reader."""

    async def read_many(self, files: Sequence[tuple[int, bytes]]) -> list[Content | ContentUnreadable]:
        """The content of each (open file, name); the descriptors stay the caller's."""


@dataclass(frozen=True, slots=True)
class Look:
    """One state of one file, on its way to a row. `wrote`: the job left it so, else it was so when the job came.

    `unread`: its user may not read it, so that nobody says what is in it.
    """

    used: Used
    path: bytes
    state: State
    wrote: bool
    known: Digested | None = None
    says: str | None = None
    gone: bool = False
    unread: bool = False

    @property
    def modes(self) -> int:
        return self.used.modes & WRITE if self.wrote else self.used.modes & ~WRITE or READ


class Ingest:
    """Writes the rows of a run. `roots`: the projects of a uid; `elsewhere`: its project for all other files.

    `tops`: the datasets of a project that are one resource each; `settle`: done when its changes are known.
    `largest`: files beyond this many bytes are known by size and times, not by digest.
    """

    def __init__(
        self,
        *,
        database: Database,
        versions: Versions,
        digests: Digests,
        filesystems: Filesystems,
        roots: Callable[[int], Sequence[Root]],
        tops: Tops,
        settle: Callable[[str], Awaitable[object]],
        largest: int,
    ) -> None:
        self._tops = tops
        self._settle = settle
        self._database = database
        self._versions = versions
        self._digests = digests
        self._filesystems = filesystems
        self._roots = roots
        self._largest = largest

    async def ingest(self, subject: Subject, account: Account, *, elsewhere: str, facts: str) -> None:
        """Everything that is known of a run, piece by piece, its own row last. Doing it again changes nothing."""
        for covered in account.covered.values():
            self._filesystems.cover(covered)
        roots = self._roots(subject.uid)
        known = await privacy.known(account.files.values(), Rights.of(subject), self._filesystems)
        reasons = account.reasons if known.is_all else [*account.reasons, privacy.LEFT_OUT]
        files, wholes = roll_up(known.files, roots, self._tops)
        looks = await self._digest(list(_looks(files, known.unread)))
        for project in {whole.project for whole in wholes if whole.modes & WRITE}:
            await self._settle(project)
        state = ("partial" if reasons else "complete") if account.begun else "none"
        processes = [
            ProcessRow(subject.run, r.pid, r.started_ns, r.parent, r.executable, r.status) for r in account.processes
        ]

        def conclude(connection: apsw.Connection) -> None:
            edges = rolled.edges(connection, subject.run, wholes, began=account.began_at)
            rows.add(connection, subject.run, edges=edges)
            rows.add(connection, subject.run, edges=_replaced(connection, subject.run))
            rows.conclude(connection, subject.run, state=state, reasons=reasons, facts=facts)

        await self._database.write_many(lambda connection: rows.forget(connection, [subject.run]))
        await self._see(subject.run, looks, roots, elsewhere)
        for some in _pieces(processes):
            await self._database.write_many(partial(rows.add, run=subject.run, processes=some))
        await self._database.write_many(conclude)

    async def _see(self, run: int, looks: Sequence[Look], roots: Sequence[Root], elsewhere: str) -> None:
        at = time.time()

        def work(connection: apsw.Connection, some: Sequence[Look]) -> None:
            edges = []
            for look in some:
                seen = self._seen(look, roots, elsewhere)
                number = _of_gone(connection, seen) if look.state.size < 0 and not look.wrote else None
                if number is None:
                    number = see(connection, seen, run=run if look.wrote else None, at=at)
                edges.append(Edge(run, number, look.modes, look.used.first.at))
            # With their versions: whoever finds two of those to be one sees to the edges, too.
            rows.add(connection, run, edges=edges)

        for some in _pieces(looks):
            await self._database.write_many(partial(work, some=some))

    def _recall(self, look: Look) -> Look:
        """With the digest, if this state of this inode was ever digested, and it is the user's to know."""
        if look.unread:
            return look
        file = look.used.first
        identity = (self._filesystems.name(file.filesystem), file.handle_type, file.handle)
        state = look.state
        return replace(look, known=self._versions.digest_of(identity, (state.size, state.mtime_ns, state.ctime_ns)))

    async def _digest(self, looks: Sequence[Look]) -> list[Look]:
        """With the digests of all that still are as they were then."""
        done = []
        for start in range(0, len(looks), BATCH):
            done += await self._digest_some([self._recall(look) for look in looks[start : start + BATCH]])
        return done

    async def _digest_some(self, looks: Sequence[Look]) -> list[Look]:
        opened = await in_own_thread(lambda: [self._open(look) for look in looks])
        wanted = [(fd, look) for fd, look in zip(opened, looks, strict=True) if fd is not None]
        try:
            contents = await self._digests.read_many([(fd, _name(look.path)) for fd, look in wanted]) if wanted else []
            found = {
                id(look): content
                for (fd, look), content in zip(wanted, contents, strict=True)
                # What changed while it was read is some version's, but nobody knows which.
                if isinstance(content, Content) and _state(fd) == look.state
            }
        finally:
            for fd, _ in wanted:
                os.close(fd)
        gone = [
            look.known is None and fd is None and self._is_gone(look) for fd, look in zip(opened, looks, strict=True)
        ]
        return [_with(look, found.get(id(look)), gone=is_gone) for look, is_gone in zip(looks, gone, strict=True)]

    def _open(self, look: Look) -> int | None:
        """The file, if it is to be digested and still is in this state."""
        if look.unread or look.known is not None or not 0 <= look.state.size <= self._largest:
            return None
        try:
            fd = self._filesystems.open(look.used.first.filesystem, _handle(look.used))
        except OSError:
            return None
        if _state(fd) == look.state:
            return fd
        os.close(fd)
        return None

    def _is_gone(self, look: Look) -> bool:
        try:
            os.close(self._filesystems.open(look.used.first.filesystem, _handle(look.used)))
        except OSError:
            return True
        return False

    def _seen(self, look: Look, roots: Sequence[Root], elsewhere: str) -> Seen:
        file, known = look.used.first, look.known
        where = places.place(look.path, roots, elsewhere)
        temporary = look.gone and look.wrote
        return Seen(
            project=where.project,
            path=where.path,
            role="temporary" if temporary else places.role(where.path, look.says or _says(known)),
            role_by="observed" if look.says or temporary else "assumed",
            filesystem=self._filesystems.name(file.filesystem),
            handle_type=file.handle_type,
            handle=file.handle,
            parent_type=file.parent_type,
            parent=file.parent,
            name=_name(look.path),
            inode=file.inode,
            size=max(look.state.size, 0),
            mtime_ns=look.state.mtime_ns,
            ctime_ns=look.state.ctime_ns,
            digest=known.digest if known else None,
            format=known.format if known else None,
            header=known.header if known else None,
            unread=look.unread,
        )


def _looks(files: Iterable[Used], unread: Container[int]) -> Iterator[Look]:
    """What the job found, then what it left: in this order a file that it changed gets two versions."""
    for used in sorted(files, key=lambda used: used.first.at):
        if used.path is None:
            continue  # it never had a name, or lost it before anybody could look
        is_unread = used.first.number in unread
        if used.is_input:
            yield Look(used, used.first.path or used.path, used.before, wrote=False, unread=is_unread)
        if used.after is not None:
            yield Look(used, used.path, used.after, wrote=True, unread=is_unread)


def _with(look: Look, content: Content | None, *, gone: bool) -> Look:
    if content is None:
        return replace(look, gone=gone)
    identity = content.identity
    known = Digested(content.digest, identity.format, identity.as_json())
    return replace(look, known=known, says=identity.role)


def _says(known: Digested | None) -> str | None:
    """The role that the content had when it was digested."""
    role = json.loads(known.header).get("role") if known and known.header else None
    return role if isinstance(role, str) else None


def _state(fd: int) -> State:
    status = os.fstat(fd)
    return State(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _handle(used: Used) -> FileHandle:
    return FileHandle(used.first.handle_type, used.first.handle)


def _name(path: bytes) -> bytes:
    return path[path.rfind(b"/") + 1 :]


def _of_gone(connection: apsw.Connection, seen: Seen) -> int | None:
    """The last version that was known of an inode which was gone before the keeper could look."""
    numbers = connection.execute(
        "SELECT v.number FROM object o JOIN binding b ON b.object = o.id JOIN version v ON v.resource = b.resource"
        " WHERE o.filesystem = ? AND o.handle_type = ? AND o.handle = ? AND v.number IS NOT NULL"
        " ORDER BY v.number DESC LIMIT 1",
        (seen.filesystem, seen.handle_type, seen.handle),
    )
    return next((int(number) for (number,) in numbers), None)


def _replaced(connection: apsw.Connection, run: int) -> list[Edge]:
    """What the run wrote and then wrote over: versions that were captured when it closed them."""
    numbers = connection.execute(
        "SELECT number FROM version v WHERE made_by = ?1 AND number IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM edge WHERE run = ?1 AND version = v.number) ORDER BY number",
        (run,),
    )
    return [Edge(run, int(number), WRITE, 0) for (number,) in numbers]


def _pieces(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]
