"""What files are and were: resource <- binding <- object <- version, kept true through any replacement.

A resource is what people mean by a name. Its file may be overwritten, replaced by a rename, restored from an archive:
the resource stays, the binding says which inode has the name, and a version is added only when the content differs.
"""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import apsw

from mlosd.core.ids import new_id
from mlosd.store.db import Database

# Who may overrule whom about what a file is for: default globs, its content and use, mlos.toml, the user.
ROLE_BY = ("assumed", "observed", "declared", "corrected")


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as somebody found it, with what its content is if that is known.

    `links`: st_nlink. `digest`: SHA-256. `header`: JSON. `manifest`: of a directory, the root of its Merkle manifest.
    `unread`: not the owner's to read, and what another user's look found in it not theirs to know.
    """

    project: str
    path: str
    role: str
    role_by: str
    filesystem: str
    handle_type: int
    handle: bytes
    parent_type: int
    parent: bytes
    name: bytes
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    links: int = 1
    digest: bytes | None = None
    format: str | None = None
    header: str | None = None
    manifest: bytes | None = None
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Digested:
    """What an object contained when it had a certain size and times."""

    digest: bytes
    format: str | None
    header: str | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version. `object`: the row of the inode that it was first seen in."""

    number: int
    resource: str
    object: int
    digest: bytes | None
    size: int
    mtime_ns: int
    ctime_ns: int
    made_by: int | None
    seen_at: float
    format: str | None
    header: str | None
    manifest: bytes | None


_COLUMNS = "number, resource, object, digest, size, mtime_ns, ctime_ns, made_by, seen_at, format, header, manifest"


def see(connection: apsw.Connection, seen: Seen, *, run: int | None, at: float) -> int:
    """Note a file as it is now; the number of its version. `run`: the run that wrote it, if one did."""
    object_ = _object(connection, seen, at)
    seen = _with_known_digest(connection, object_, seen)
    resource = _resource(connection, object_, seen, at)
    _bind(connection, resource, object_, seen, at)
    return _version(connection, seen, resource=resource, object_=object_, run=run, at=at)


def rebind(connection: apsw.Connection, seen: Seen, *, at: float) -> None:
    """Note which inode has a name now, and nothing of what it contains: of a directory that is no version."""
    object_ = _object(connection, seen, at)
    _bind(connection, _resource(connection, object_, seen, at), object_, seen, at)


def fill(connection: apsw.Connection, number: int, digested: Digested) -> int:
    """The digest of a version is known now. Returns its number: that of the one before when nothing had changed."""
    [(resource, object_, size, mtime_ns, ctime_ns)] = connection.execute(
        "SELECT resource, object, size, mtime_ns, ctime_ns FROM version WHERE number = ?", (number,)
    )
    _remember(connection, object_, (size, mtime_ns, ctime_ns), digested)
    connection.execute(
        "UPDATE version SET digest = ?, format = ?, header = ? WHERE number = ?",
        (digested.digest, digested.format, digested.header, number),
    )
    after = _beside(connection, resource, "number > ? ORDER BY number", number)
    if after and after[1] == digested.digest:
        _merge(connection, after[0], into=number)
    before = _beside(connection, resource, "number < ? ORDER BY number DESC", number)
    if before and before[1] == digested.digest:
        _merge(connection, number, into=before[0])
        return int(before[0])
    return number


def leave(connection: apsw.Connection, resource: str, at: float) -> None:
    """The resource's name is gone from its directory: its binding ends, its history stays."""
    connection.execute("UPDATE binding SET valid_to = ? WHERE resource = ? AND valid_to IS NULL", (at, resource))


class Versions:
    """Questions about versions, and `see` for those who have no transaction of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def see(self, seen: Seen, *, run: int | None, at: float) -> "asyncio.Future[int]":
        """As the function `see`; done when it is on the disk."""
        return self._database.write(lambda connection: see(connection, seen, run=run, at=at))

    def see_many(self, files: Iterable[Seen], *, run: int | None, at: float) -> "asyncio.Future[list[int]]":
        """The same for many files, in one transaction; their numbers in order."""
        noted = tuple(files)
        return self._database.write_many(lambda connection: [see(connection, one, run=run, at=at) for one in noted])

    def digest_of(self, identity: tuple[str, int, bytes], state: tuple[int, int, int]) -> Digested | None:
        """What (filesystem, handle type, handle) contained when it had this (size, mtime_ns, ctime_ns)."""
        rows = self._database.read(
            "SELECT s.digest, s.format, s.header FROM object o JOIN sighting s ON s.object = o.id"
            " WHERE o.filesystem = ? AND o.handle_type = ? AND o.handle = ?"
            " AND s.size = ? AND s.mtime_ns = ? AND s.ctime_ns = ?",
            (*identity, *state),
        )
        return Digested(*rows[0]) if rows else None

    def get(self, number: int) -> VersionRow | None:
        """One version."""
        return next(iter(self._select("number = ?", number)), None)

    def current(self, resource: str) -> VersionRow | None:
        """The newest version of a resource."""
        return next(iter(self._select("resource = ? ORDER BY number DESC LIMIT 1", resource)), None)

    def history(self, resource: str) -> list[VersionRow]:
        """Every version of a resource, newest first."""
        return self._select("resource = ? ORDER BY number DESC", resource)

    def resource_at(self, project: str, path: str) -> str | None:
        """The id of the resource with this path in a project."""
        rows = self._database.read(
            "SELECT id FROM resource WHERE project = ? AND path = CAST(? AS TEXT)", (project, os.fsencode(path))
        )
        return rows[0][0] if rows else None

    def _select(self, where: str, *bindings: object) -> list[VersionRow]:
        rows = self._database.read(f"SELECT {_COLUMNS} FROM version WHERE number IS NOT NULL AND {where}", bindings)
        return [VersionRow(*row) for row in rows]


def _object(connection: apsw.Connection, seen: Seen, at: float) -> int:
    known = _rows(
        connection,
        "SELECT id, gone_at FROM object WHERE filesystem = ? AND handle_type = ? AND handle = ?",
        (seen.filesystem, seen.handle_type, seen.handle),
    )
    if known:
        if known[0][1] is not None:
            connection.execute("UPDATE object SET gone_at = NULL WHERE id = ?", (known[0][0],))
        return int(known[0][0])
    connection.execute(
        "INSERT INTO object (filesystem, handle_type, handle, inode, first_seen) VALUES (?,?,?,?,?)",
        (seen.filesystem, seen.handle_type, seen.handle, seen.inode, at),
    )
    return connection.last_insert_rowid()


def _with_known_digest(connection: apsw.Connection, object_: int, seen: Seen) -> Seen:
    if seen.unread:
        return seen
    state = (seen.size, seen.mtime_ns, seen.ctime_ns)
    if seen.digest is not None:
        _remember(connection, object_, state, Digested(seen.digest, seen.format, seen.header))
        return seen
    known = _rows(
        connection,
        "SELECT digest, format, header FROM sighting WHERE object = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?",
        (object_, *state),
    )
    return replace(seen, digest=known[0][0], format=known[0][1], header=known[0][2]) if known else seen


def _remember(connection: apsw.Connection, object_: int, state: tuple[int, int, int], what: Digested) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO sighting (object, size, mtime_ns, ctime_ns, digest, format, header)"
        " VALUES (?,?,?,?,?,?,?)",
        (object_, *state, what.digest, what.format, what.header),
    )


def _resource(connection: apsw.Connection, object_: int, seen: Seen, at: float) -> str:
    """The resource that this file is: by its path, else by its inode under another name, else a new one."""
    path = os.fsencode(seen.path)
    at_path = _rows(
        connection,
        "SELECT id, role, role_by FROM resource WHERE project = ? AND path = CAST(? AS TEXT)",
        (seen.project, path),
    )
    elsewhere = _bound_elsewhere(connection, object_, seen, path)
    if at_path:
        for other, _, _ in elsewhere:
            leave(connection, other, at)
        id_, role, role_by = map(str, at_path[0])
        _correct_role(connection, id_, (role, role_by), seen)
        return id_
    if elsewhere:
        id_, role, role_by = elsewhere[0]
        connection.execute("UPDATE resource SET path = CAST(? AS TEXT) WHERE id = ?", (path, id_))
        _correct_role(connection, id_, (role, role_by), seen)
        return id_
    resource = new_id()
    connection.execute(
        "INSERT INTO resource (id, project, role, path, added_at, role_by) VALUES (?,?,?,CAST(? AS TEXT),?,?)",
        (resource, seen.project, seen.role, path, at, seen.role_by),
    )
    return resource


def _bound_elsewhere(connection: apsw.Connection, object_: int, seen: Seen, path: bytes) -> list[tuple[str, str, str]]:
    # An inode with one link has one name: under another one it was found before, so it was renamed.
    if seen.links != 1:
        return []
    rows = connection.execute(
        "SELECT r.id, r.role, r.role_by FROM binding b JOIN resource r ON r.id = b.resource"
        " WHERE b.object = ? AND b.valid_to IS NULL AND r.project = ? AND r.path <> CAST(? AS TEXT)",
        (object_, seen.project, path),
    )
    return [(str(id_), str(role), str(role_by)) for id_, role, role_by in rows]


def _correct_role(connection: apsw.Connection, resource: str, was: tuple[str, str], seen: Seen) -> None:
    role, role_by = was
    if seen.role == role or ROLE_BY.index(seen.role_by) < ROLE_BY.index(role_by):
        return
    connection.execute("UPDATE resource SET role = ?, role_by = ? WHERE id = ?", (seen.role, seen.role_by, resource))


def _bind(connection: apsw.Connection, resource: str, object_: int, seen: Seen, at: float) -> None:
    now = (object_, seen.parent_type, seen.parent, seen.name)
    bound = _rows(
        connection,
        "SELECT object, parent_type, parent, name FROM binding WHERE resource = ? AND valid_to IS NULL",
        (resource,),
    )
    if bound == [now]:
        return
    leave(connection, resource, at)
    connection.execute(
        "INSERT INTO binding (resource, object, parent_type, parent, name, valid_from) VALUES (?,?,?,?,?,?)",
        (resource, *now, at),
    )


def _version(
    connection: apsw.Connection, seen: Seen, *, resource: str, object_: int, run: int | None, at: float
) -> int:
    known = _latest(connection, resource)
    if known is None or not _is(known, object_, seen):
        # Not as it is now, but as it once was: a run is recorded at its end, and tells of the file that it found.
        known = _in_state(connection, resource, object_, seen)
    if known is not None:
        if run is not None:
            # Somebody who watches the directory may have seen what the run wrote before the run was recorded.
            connection.execute(
                "UPDATE version SET made_by = ? WHERE number = ? AND made_by IS NULL"
                " AND object = ? AND size = ? AND mtime_ns = ?",
                (run, known.number, object_, seen.size, seen.mtime_ns),
            )
        if seen.digest is not None and known.digest is None:
            return fill(connection, known.number, Digested(seen.digest, seen.format, seen.header))
        return known.number
    if run is None and seen.digest is not None:
        run = _maker(connection, resource, seen.digest)
    number = _next_number(connection)
    connection.execute(
        "INSERT INTO version (id, resource, object, digest, size, mtime_ns, ctime_ns, made_by, seen_at, number,"
        " format, header, manifest) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            new_id(),
            resource,
            object_,
            seen.digest,
            seen.size,
            seen.mtime_ns,
            seen.ctime_ns,
            run,
            at,
            number,
            seen.format,
            seen.header,
            seen.manifest,
        ),
    )
    return number


def _maker(connection: apsw.Connection, resource: str, digest: bytes) -> int | None:
    """The run that made this content of this resource before: put back, by whomever, it still is its work."""
    sql = "SELECT made_by FROM version WHERE resource = ? AND digest = ? AND made_by IS NOT NULL ORDER BY number DESC"
    return next((int(run) for (run,) in _rows(connection, f"{sql} LIMIT 1", (resource, digest))), None)


_KNOWN = "SELECT number, object, digest, size, mtime_ns, ctime_ns, rowid FROM version WHERE resource = ?"


@dataclass(frozen=True, slots=True)
class _Known:
    number: int
    object: int
    digest: bytes | None
    size: int
    mtime_ns: int
    ctime_ns: int


def _latest(connection: apsw.Connection, resource: str) -> _Known | None:
    rows = _rows(connection, f"{_KNOWN} ORDER BY seen_at DESC, rowid DESC LIMIT 1", (resource,))
    return _known(connection, rows[0]) if rows else None


def _in_state(connection: apsw.Connection, resource: str, object_: int, seen: Seen) -> _Known | None:
    state = (object_, seen.size, seen.mtime_ns, seen.ctime_ns)
    sql = f"{_KNOWN} AND object = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ? ORDER BY rowid DESC LIMIT 1"
    known = next((_known(connection, row) for row in _rows(connection, sql, (resource, *state))), None)
    # Two writes within one tick of the clock leave the same times.
    racy = known and known.digest is not None and seen.digest is not None and known.digest != seen.digest
    return None if racy else known


def _known(connection: apsw.Connection, row: tuple[Any, ...]) -> _Known:
    number, *rest, rowid = row
    if number is None:  # an older program wrote it
        number = _next_number(connection)
        connection.execute("UPDATE version SET number = ? WHERE rowid = ?", (number, rowid))
    return _Known(number, *rest)


def _is(known: _Known, object_: int, seen: Seen) -> bool:
    """Whether this version is what was seen: by content, else by inode, size and times."""
    if known.digest is not None and seen.digest is not None:
        return known.digest == seen.digest
    state = (object_, seen.size, seen.mtime_ns, seen.ctime_ns)
    return (known.object, known.size, known.mtime_ns, known.ctime_ns) == state


def _next_number(connection: apsw.Connection) -> int:
    [(last,)] = connection.execute("SELECT max(number) FROM version")
    return (last or 0) + 1


def _rows(connection: apsw.Connection, sql: str, bindings: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return list(connection.execute(sql, bindings))


def _beside(connection: apsw.Connection, resource: str, which: str, number: int) -> tuple[Any, ...] | None:
    sql = f"SELECT number, digest FROM version WHERE resource = ? AND {which} LIMIT 1"
    return next(iter(_rows(connection, sql, (resource, number))), None)


def _merge(connection: apsw.Connection, number: int, *, into: int) -> None:
    """Two versions turned out to be one: the later was seen before anybody had read it."""
    connection.execute(
        "INSERT INTO edge (run, version, modes, first_use_ns)"
        " SELECT run, ?, modes, first_use_ns FROM edge WHERE version = ?"
        " ON CONFLICT DO UPDATE SET modes = modes | excluded.modes,"
        " first_use_ns = min(first_use_ns, excluded.first_use_ns)",
        (into, number),
    )
    connection.execute("DELETE FROM edge WHERE version = ?", (number,))
    connection.execute("UPDATE model_version SET version = ? WHERE version = ?", (into, number))
    connection.execute(
        "UPDATE version SET made_by = coalesce(made_by, (SELECT made_by FROM version WHERE number = ?1))"
        " WHERE number = ?2",
        (number, into),
    )
    connection.execute("DELETE FROM version WHERE number = ?", (number,))
