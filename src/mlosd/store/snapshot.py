"""The table as it was at one commit: what some users own of it, read in batches while others go on writing.

Owns a connection that only reads, and its transaction: while that is open, the write-ahead log cannot be begun anew.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

BATCH = 1000

# Each table's rows that are in scope, and the order in which they are told.
_ROWS = {
    "project": "FROM project WHERE id IN mine_project ORDER BY id",
    "resource": "FROM resource WHERE id IN mine_resource ORDER BY project, path, id",
    "object": "FROM object WHERE id IN (SELECT object FROM binding WHERE resource IN mine_resource"
    " UNION SELECT object FROM version WHERE number IN mine_version) ORDER BY id",
    "binding": "FROM binding WHERE resource IN mine_resource ORDER BY id",
    "manifest_node": "FROM manifest_node WHERE digest IN mine_node ORDER BY digest",
    "run": "FROM run WHERE id IN mine_run ORDER BY id",
    "lineage": "FROM lineage WHERE run IN mine_run ORDER BY run",
    "process": "FROM process WHERE run IN mine_run ORDER BY run, pid, started_ns",
    "version": "FROM version WHERE number IN mine_version ORDER BY number",
    "edge": "FROM edge WHERE run IN mine_run AND version IN mine_version ORDER BY run, version",
    "model": "FROM model WHERE project IN mine_project ORDER BY id",
    "model_version": "FROM model_version WHERE version IN mine_version"
    " AND model IN (SELECT id FROM model WHERE project IN mine_project) ORDER BY model, number",
    # A resource as it is now: the inode that its name means, and its newest version.
    "resource_now": "FROM resource r LEFT JOIN binding b ON b.resource = r.id AND b.valid_to IS NULL"
    " LEFT JOIN object o ON o.id = b.object LEFT JOIN version v ON v.number ="
    " (SELECT number FROM version n WHERE n.resource = r.id AND n.number IS NOT NULL"
    " ORDER BY n.seen_at DESC, n.number DESC LIMIT 1)"
    " WHERE r.id IN mine_resource ORDER BY r.project, r.path, r.id",
    "alias_log": "FROM alias_log WHERE model IN (SELECT id FROM model WHERE project IN mine_project) ORDER BY id",
}

# ?1: the project, or null. With a project's runs come the files outside of it that they used.
_SCOPE = (
    "CREATE TEMP TABLE mine_run (id INTEGER PRIMARY KEY)",
    "INSERT INTO mine_run SELECT id FROM run WHERE uid IN {owners} AND state = 'DONE' AND (?1 IS NULL OR project = ?1)",
    "CREATE TEMP TABLE mine_version (number INTEGER PRIMARY KEY)",
    """INSERT INTO mine_version
       SELECT v.number FROM version v JOIN resource r ON r.id = v.resource JOIN project p ON p.id = r.project
       WHERE v.number IS NOT NULL AND p.owner IN {owners}
       AND (?1 IS NULL OR p.id = ?1 OR v.number IN (SELECT version FROM edge WHERE run IN mine_run))""",
    "CREATE TEMP TABLE mine_project (id TEXT PRIMARY KEY)",
    """INSERT INTO mine_project
       SELECT id FROM project WHERE owner IN {owners} AND (?1 IS NULL OR id = ?1 OR id IN
       (SELECT r.project FROM version v JOIN resource r ON r.id = v.resource WHERE v.number IN mine_version))""",
    "CREATE TEMP TABLE mine_resource (id TEXT PRIMARY KEY)",
    """INSERT INTO mine_resource
       SELECT id FROM resource WHERE project IN mine_project
       AND (?1 IS NULL OR project = ?1 OR id IN (SELECT resource FROM version WHERE number IN mine_version))""",
    "CREATE TEMP TABLE mine_node (digest BLOB PRIMARY KEY)",
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows, and of which project (an id; None: of all). Of runs, those that are done."""

    owners: frozenset[int]
    project: str | None = None


class TableSnapshot:
    """Use as a context manager; from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._connection.set_busy_timeout(5000)

    def __enter__(self) -> "TableSnapshot":
        self._connection.execute("BEGIN")
        # The transaction begins with its first look.
        self._connection.execute("SELECT count(*) FROM schema_info").fetchall()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close(True)

    def owners(self) -> set[int]:
        """Every user that something belongs to."""
        return {int(uid) for (uid,) in self._connection.execute("SELECT owner FROM project UNION SELECT uid FROM run")}

    def first_migration(self) -> float:
        """When this database was made."""
        [(at,)] = self._connection.execute("SELECT applied_at FROM schema_info ORDER BY version LIMIT 1")
        return float(at)

    def limit(self, scope: Scope) -> None:
        """Tell of these rows only. To be called once, before `count` and `rows`."""
        # Numbers, not text: nothing of a caller's gets into the statement.
        owners = f"({','.join(str(int(uid)) for uid in sorted(scope.owners))})"
        for statement in _SCOPE:
            self._connection.execute(statement.format(owners=owners), (scope.project,) if "?1" in statement else None)

    def manifests(self) -> Iterator[bytes]:
        """The roots of the Merkle manifests in scope."""
        rows = self._connection.execute(
            "SELECT DISTINCT manifest FROM version WHERE manifest IS NOT NULL AND number IN mine_version"
        )
        return (digest for (digest,) in rows if isinstance(digest, bytes))

    def node(self, digest: bytes) -> bytes | None:
        """A node of a Merkle manifest; None: it is not there."""
        rows = self._connection.execute("SELECT content FROM manifest_node WHERE digest = ?", (digest,)).fetchall()
        return bytes(rows[0][0]) if rows and isinstance(rows[0][0], bytes) else None

    def with_node(self, digest: bytes) -> bool:
        """Put a node into scope; False when it was."""
        self._connection.execute("INSERT OR IGNORE INTO mine_node VALUES (?)", (digest,))
        return bool(self._connection.changes())

    def count(self, table: str) -> int:
        """How many rows of a table are in scope."""
        [(count,)] = self._connection.execute(f"SELECT count(*) {_ROWS[table].partition(' ORDER BY ')[0]}")
        return int(count)

    def rows(self, table: str, columns: Sequence[str], *, batch: int = BATCH) -> Iterator[list[tuple[Any, ...]]]:
        """The rows in scope, some at a time. `columns`: expressions over the table's columns."""
        found = self._connection.execute(f"SELECT {', '.join(columns)} {_ROWS[table]}")
        while some := list(itertools.islice(found, batch)):
            yield some

    def resources_by_project(self) -> dict[str, int]:
        """How many resources in scope each project has."""
        return {
            str(project): int(count)
            for project, count in self._connection.execute(
                "SELECT project, count(*) FROM resource WHERE id IN mine_resource GROUP BY project"
            )
        }
