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
from mlosd.store.versions import Seen, see

# Files of no project are a project of their owner's all the same; nobody can name one so.
ELSEWHERE = "-"


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was found below a project's root. Handles are name_to_handle_at(2)'s; None: no handles there."""

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
    )
    see(connection, seen, run=None, at=project.added_at)
