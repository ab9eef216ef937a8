"""Projects in the metadata table: resource <- binding <- object <- version.

Paths are whatever bytes the file system has: they are cast on their way in and out, because SQLite takes any text but
apsw UTF-8 only.
"""

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from mlosd.core.errors import Refused
from mlosd.core.ids import new_id
from mlosd.store.db import Database
from mlosd.store.versions import Seen, leave, rebind, see

# Files of no project are a project of their owner's all the same; nobody can name one so.
ELSEWHERE = "-"


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was found below a project's root. Handles are name_to_handle_at(2)'s.

    `is_link`: a symbolic link to another file below the root; size and times are of that.
    """

    role: str
    path: str
    name: bytes
    filesystem: str
    handle_type: int
    handle: bytes
    parent_type: int
    parent: bytes
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    links: int = 1
    format: str | None = None
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A registered project. `owner` is a uid."""

    id: str
    name: str
    root: str
    owner: int
    environment: str
    added_at: float


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """A resource with the object that its name means now."""

    id: str
    role: str
    path: str
    filesystem: str
    handle_type: int
    handle: bytes
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Known:
    """A resource whose file was there when somebody last looked, and what it was. `digested`: so is its content."""

    resource: str
    path: str
    role: str
    filesystem: str
    handle_type: int
    handle: bytes
    parent_type: int
    parent: bytes
    name: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    digested: bool
    format: str | None


class Projects:
    """The project tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, project: ProjectRow, found: Iterable[Found]) -> "asyncio.Future[None]":
        """Register a project with its files, in one transaction. Raises Refused when the name is taken."""
        files = tuple(found)

        def work(connection: apsw.Connection) -> None:
            try:
                connection.execute(
                    "INSERT INTO project (id, name, root, owner, environment, added_at)"
                    " VALUES (?,?,CAST(? AS TEXT),?,?,?)",
                    (
                        project.id,
                        project.name,
                        os.fsencode(project.root),
                        project.owner,
                        project.environment,
                        project.added_at,
                    ),
                )
            except apsw.ConstraintError as e:
                raise Refused(f"you have a project {project.name} already", hint="choose another --name") from e
            for file in files:
                _add_file(connection, project, file)

        return self._database.write_many(work)

    def remove(self, id_: str) -> "asyncio.Future[None]":
        """Forget a project: its bindings end, its history stays for the runs that used it."""

        def work(connection: apsw.Connection) -> None:
            now = time.time()
            connection.execute("UPDATE project SET removed_at = ? WHERE id = ?", (now, id_))
            connection.execute(
                "UPDATE binding SET valid_to = ? WHERE valid_to IS NULL"
                " AND resource IN (SELECT id FROM resource WHERE project = ?)",
                (now, id_),
            )

        return self._database.write(work)

    def elsewhere(self, uid: int) -> "asyncio.Future[str]":
        """The id of the owner's project of all files that are in no project; made at first need."""

        def work(connection: apsw.Connection) -> str:
            known = list(connection.execute("SELECT id FROM project WHERE owner = ? AND name = ?", (uid, ELSEWHERE)))
            if known:
                return str(known[0][0])
            id_ = new_id()
            connection.execute(
                "INSERT INTO project (id, name, root, owner, environment, added_at) VALUES (?,?,'/',?,'dev',?)",
                (id_, ELSEWHERE, uid, time.time()),
            )
            return id_

        return self._database.write(work)

    def all(self) -> list[ProjectRow]:
        """Every project, by name."""
        return self._select("ORDER BY name")

    def named(self, name_or_id: str) -> list[ProjectRow]:
        """The projects with this name (names are unique per owner) or id."""
        return self._select("AND (name = ?1 OR id = ?1)", name_or_id)

    def count(self) -> int:
        """How many there are."""
        sql = "SELECT count(*) FROM project WHERE removed_at IS NULL AND name <> ?"
        return int(self._database.read(sql, (ELSEWHERE,))[0][0])

    def roles(self, id_: str) -> dict[str, int]:
        """How many resources a project has in each role."""
        return dict(self._database.read("SELECT role, count(*) FROM resource WHERE project = ? GROUP BY role", (id_,)))

    def resources(self, id_: str) -> list[ResourceRow]:
        """The resources of a project and what they are bound to, by path."""
        rows = self._database.read(
            "SELECT r.id, r.role, CAST(r.path AS BLOB), o.filesystem, o.handle_type, o.handle, o.inode,"
            " (SELECT size FROM version v WHERE v.resource = r.id ORDER BY seen_at DESC LIMIT 1)"
            " FROM resource r JOIN binding b ON b.resource = r.id AND b.valid_to IS NULL"
            " JOIN object o ON o.id = b.object"
            " WHERE r.project = ? ORDER BY r.path",
            (id_,),
        )
        return [ResourceRow(id_, role, os.fsdecode(path), *rest) for id_, role, path, *rest in rows]

    def known(self, id_: str, *, after: str = "", most: int = 1000) -> list[Known]:
        """Some of what a project is known to have, by path."""
        return self._known("r.project = ?1 AND r.path > CAST(?2 AS TEXT)", id_, os.fsencode(after), most)

    def known_at(self, id_: str, path: str) -> Known | None:
        """What a project is known to have at this path."""
        return next(iter(self._known("r.project = ?1 AND r.path = CAST(?2 AS TEXT)", id_, os.fsencode(path), 1)), None)

    def known_below(self, id_: str, path: str) -> list[Known]:
        """What a project is known to have at this path, and below it if that is a directory."""
        top = os.fsencode(path)
        at = self._known("r.project = ?1 AND r.path = CAST(?2 AS TEXT)", id_, top, 1)
        # "0" follows "/".
        below = "r.project = ?1 AND r.path > CAST(?2 || '/' AS TEXT) AND r.path < CAST(?2 || '0' AS TEXT)"
        return at + self._known(below, id_, top, -1)

    def saw(self, seen: Iterable[Seen], gone: Iterable[Known], *, at: float) -> "asyncio.Future[None]":
        """Note files as they are now, and those that are not there any more, in one transaction."""
        files, missing = tuple(seen), tuple(gone)

        def work(connection: apsw.Connection) -> None:
            for file in files:
                if file.role == "root":
                    rebind(connection, file, at=at)
                else:
                    see(connection, file, run=None, at=at)
            for row in missing:
                # One that has just been seen under another name is not gone.
                path = os.fsencode(row.path)
                if list(
                    connection.execute(
                        "SELECT 1 FROM resource WHERE id = ? AND path = CAST(? AS TEXT)", (row.resource, path)
                    )
                ):
                    leave(connection, row.resource, at)

        return self._database.write_many(work)

    def _known(self, where: str, id_: str, path: bytes, most: int) -> list[Known]:
        rows = self._database.read(
            "SELECT r.id, CAST(r.path AS BLOB), r.role, o.filesystem, o.handle_type, o.handle, b.parent_type, b.parent,"
            " b.name, v.size, v.mtime_ns, v.ctime_ns, v.digest IS NOT NULL, v.format"
            " FROM resource r JOIN binding b ON b.resource = r.id AND b.valid_to IS NULL"
            " JOIN object o ON o.id = b.object"
            " JOIN version v ON v.rowid = (SELECT rowid FROM version WHERE resource = r.id"
            " ORDER BY seen_at DESC, rowid DESC LIMIT 1)"
            f" WHERE {where} ORDER BY r.path LIMIT ?3",
            (id_, path, most),
        )
        return [
            Known(id_, os.fsdecode(path), *rest, bool(digested), format_)  # type: ignore[call-arg]
            for id_, path, *rest, digested, format_ in rows
        ]

    def _select(self, rest: str, *bindings: str) -> list[ProjectRow]:
        rows = self._database.read(
            "SELECT id, name, CAST(root AS BLOB), owner, environment, added_at FROM project"
            f" WHERE removed_at IS NULL AND name <> '{ELSEWHERE}' {rest}",
            bindings,
        )
        return [ProjectRow(id_, name, os.fsdecode(root), *others) for id_, name, root, *others in rows]


def _add_file(connection: apsw.Connection, project: ProjectRow, file: Found) -> None:
    seen = Seen(
        project=project.id,
        path=file.path,
        role=file.role,
        role_by="declared",
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
        format=file.format,
    )
    see(connection, seen, run=None, at=project.added_at)
