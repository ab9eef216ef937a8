"""Models in the metadata table: their versions, and what each alias meant at any time.

A row of `alias_log` is never changed: what an alias meant is read from the order in which they were written.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import apsw

from mlosd.core.errors import Refused
from mlosd.core.ids import new_id
from mlosd.store.db import Database
from mlosd.store.versions import Seen, see

STORED = "stored"


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the bytes of a version. `stored`: how many are in the store; `captured`: in words."""

    digest: bytes
    captured: str
    stored: int


@dataclass(frozen=True, slots=True)
class Added:
    """A version of a model. `is_new` False: the newest version was this one already."""

    model: str
    name: str
    number: int
    version: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model and where it lives. `root` and `owner` are its project's; `path` is below the root."""

    id: str
    name: str
    project: str
    project_name: str
    root: str
    owner: int
    resource: str | None
    path: str | None
    added_at: float
    removed_at: float | None


@dataclass(frozen=True, slots=True)
class ModelVersionRow:
    """A version of a model, with what the table of versions knows of its file."""

    model: str
    number: int
    version: int
    digest: bytes
    captured: str
    stored: int
    added_at: float
    pruned_at: float | None
    size: int
    format: str | None
    header: str | None
    made_by: int | None


@dataclass(frozen=True, slots=True)
class AliasRow:
    """A move of an alias. `number` None: it was taken away. `actor`: a uid."""

    alias: str
    number: int | None
    actor: int
    reason: str
    at: float


def keep(connection: apsw.Connection, seen: Seen, kept: Kept, *, name: str, run: int | None, at: float) -> Added:
    """Note a file, and the version of a model that it is. `name`: what the model is to be called if it is a new one."""
    version = see(connection, seen, run=run, at=at)
    [(resource,)] = connection.execute("SELECT resource FROM version WHERE number = ?", (version,))
    model, called = _model(connection, resource, seen.project, name, at)
    newest = _rows(
        connection,
        "SELECT number, digest, stored FROM model_version WHERE model = ? ORDER BY number DESC LIMIT 1",
        (model,),
    )
    if newest and newest[0][1] == kept.digest:
        number, _, stored = newest[0]
        if kept.stored and not stored:
            connection.execute(
                "UPDATE model_version SET captured = ?, stored = ?, pruned_at = NULL WHERE model = ? AND number = ?",
                (kept.captured, kept.stored, model, number),
            )
        return Added(model, called, number, version, is_new=False)
    number = newest[0][0] + 1 if newest else 1
    connection.execute(
        "INSERT INTO model_version (model, number, version, digest, captured, stored, added_at) VALUES (?,?,?,?,?,?,?)",
        (model, number, version, kept.digest, kept.captured, kept.stored, at),
    )
    return Added(model, called, number, version, is_new=True)


def move(
    connection: apsw.Connection, model: str, alias: str, number: int | None, *, actor: int, reason: str, at: float
) -> AliasRow:
    """Let an alias mean a version from now on, or nothing. Raises Refused for a version that there is not."""
    if number is not None and not _rows(
        connection, "SELECT 1 FROM model_version WHERE model = ? AND number = ?", (model, number)
    ):
        raise Refused(f"there is no version {number}", hint="mlosctl model show NAME")
    [(last,)] = connection.execute("SELECT max(at) FROM alias_log WHERE model = ?", (model,))
    # A clock that was set back does not change what came after what.
    at = max(at, last or at)
    connection.execute(
        "INSERT INTO alias_log (model, alias, number, actor, reason, at) VALUES (?,?,?,?,?,?)",
        (model, alias, number, actor, reason, at),
    )
    return AliasRow(alias, number, actor, reason, at)


def prune(connection: apsw.Connection, model: str, numbers: Iterable[int], *, at: float) -> None:
    """The bytes of these versions are about to go; their rows stay and say so."""
    connection.executemany(
        "UPDATE model_version SET stored = 0, pruned_at = ?, captured = 'pruned' WHERE model = ? AND number = ?",
        [(at, model, number) for number in numbers],
    )


class Models:
    """Questions about models, and writes of one row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, seen: Seen, kept: Kept, *, name: str, run: int | None, at: float) -> "asyncio.Future[Added]":
        """As the function `keep`; done when it is on the disk."""
        return self._database.write(lambda connection: keep(connection, seen, kept, name=name, run=run, at=at))

    def move(
        self, model: str, alias: str, number: int | None, *, actor: int, reason: str, at: float
    ) -> "asyncio.Future[AliasRow]":
        """As the function `move`; done when it is on the disk."""
        return self._database.write(
            lambda connection: move(connection, model, alias, number, actor=actor, reason=reason, at=at)
        )

    def put_back(
        self, seen: Seen, model: str, alias: str | None, number: int, *, actor: int, reason: str, at: float
    ) -> "asyncio.Future[None]":
        """An earlier version is in its place again: the file as it is now, and the alias with it, or neither."""

        def work(connection: apsw.Connection) -> None:
            see(connection, seen, run=None, at=at)
            if alias is not None:
                move(connection, model, alias, number, actor=actor, reason=reason, at=at)

        return self._database.write(work)

    def prune(self, model: str, numbers: Sequence[int], *, at: float) -> "asyncio.Future[None]":
        """As the function `prune`; done when it is on the disk."""
        return self._database.write(lambda connection: prune(connection, model, numbers, at=at))

    def all(self) -> list[ModelRow]:
        """Every model, by name; also those of projects that were removed."""
        return self._select("ORDER BY m.name, p.name, m.id")

    def named(self, name_or_id: str) -> list[ModelRow]:
        """The models with this name or id."""
        return self._select("WHERE m.name = ?1 OR m.id = ?1", name_or_id)

    def at_path(self, project: str, path: str) -> ModelRow | None:
        """The model that lives in the file with this path."""
        where = "WHERE m.project = ? AND r.path = CAST(? AS TEXT)"
        return next(iter(self._select(where, project, os.fsencode(path))), None)

    def versions(self, model: str) -> list[ModelVersionRow]:
        """Every version of a model, newest first."""
        rows = self._database.read(
            "SELECT m.model, m.number, m.version, m.digest, m.captured, m.stored, m.added_at, m.pruned_at,"
            " coalesce(v.size, m.stored), v.format, v.header, v.made_by"
            " FROM model_version m LEFT JOIN version v ON v.number = m.version"
            " WHERE m.model = ? ORDER BY m.number DESC",
            (model,),
        )
        return [ModelVersionRow(*row) for row in rows]

    def log(self, model: str) -> list[AliasRow]:
        """Every move of every alias, oldest first."""
        rows = self._database.read(
            "SELECT alias, number, actor, reason, at FROM alias_log WHERE model = ? ORDER BY id", (model,)
        )
        return [AliasRow(*row) for row in rows]

    def role_at(self, project: str, path: str) -> tuple[str, str] | None:
        """What the file with this path is for, and who said so."""
        rows = self._database.read(
            "SELECT role, role_by FROM resource WHERE project = ? AND path = CAST(? AS TEXT)",
            (project, os.fsencode(path)),
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def is_stored(self, digest: bytes, *, owner: int | None = None) -> bool:
        """Whether some version says that these bytes are stored. `owner`: a version of theirs."""
        sql = (
            "SELECT 1 FROM model_version v WHERE v.digest = ?1 AND v.stored > 0 AND (?2 IS NULL OR EXISTS"
            " (SELECT 1 FROM model m JOIN project p ON p.id = m.project WHERE m.id = v.model AND p.owner = ?2)) LIMIT 1"
        )
        return bool(self._database.read(sql, (digest, owner)))

    def _select(self, rest: str, *bindings: Any) -> list[ModelRow]:
        rows = self._database.read(
            "SELECT m.id, m.name, m.project, p.name, CAST(p.root AS BLOB), p.owner, m.resource,"
            " CAST(r.path AS BLOB), m.added_at, p.removed_at"
            " FROM model m JOIN project p ON p.id = m.project LEFT JOIN resource r ON r.id = m.resource " + rest,
            bindings,
        )
        return [_model_row(row) for row in rows]


def _model_row(row: tuple[Any, ...]) -> ModelRow:
    id_, name, project, project_name, root, owner, resource, path, added_at, removed_at = row
    below = os.fsdecode(path) if path is not None else None
    return ModelRow(id_, name, project, project_name, os.fsdecode(root), owner, resource, below, added_at, removed_at)


def _model(connection: apsw.Connection, resource: str, project: str, name: str, at: float) -> tuple[str, str]:
    """The id and name of the model that lives in a resource; made at first need, with a name of its own."""
    known = _rows(connection, "SELECT id, name FROM model WHERE resource = ?", (resource,))
    if known:
        return known[0][0], known[0][1]
    id_, free = new_id(), _free_name(connection, project, name)
    connection.execute(
        "INSERT INTO model (id, project, name, resource, added_at) VALUES (?,?,?,?,?)",
        (id_, project, free, resource, at),
    )
    return id_, free


def _free_name(connection: apsw.Connection, project: str, name: str) -> str:
    candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
    sql = "SELECT 1 FROM model WHERE project = ? AND name = ?"
    return next(candidate for candidate in candidates if not _rows(connection, sql, (project, candidate)))


def _rows(connection: apsw.Connection, sql: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
    return list(connection.execute(sql, tuple(bindings)))
