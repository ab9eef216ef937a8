"""Rows that come from elsewhere: found again if they are here, else added. All within one transaction of the writer."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from mlosd.core.ids import new_id
from mlosd.store.runs import IMPORTED

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Imports:
    """The statements. `at`: the time of the import."""

    def __init__(self, connection: apsw.Connection, *, at: float) -> None:
        self._connection = connection
        self._at = at
        [(last,)] = connection.execute("SELECT max(number) FROM version")
        self._numbers = itertools.count((last or 0) + 1)

    def root(self, project: str) -> bytes:
        """A project's root."""
        [(root,)] = self._connection.execute("SELECT CAST(root AS BLOB) FROM project WHERE id = ?", (project,))
        return bytes(root)

    def project(self, row: Mapping[str, Any]) -> tuple[str, bool]:
        """The id of a project of this owner, known by its id or its name; whether it is new."""
        found = self._one("SELECT id FROM project WHERE id = ? AND owner = ?", row["id"], row["owner"])
        if found is None and row["removed_at"] is None:
            found = self._one(
                "SELECT id FROM project WHERE owner = ? AND name = ? AND removed_at IS NULL", row["owner"], row["name"]
            )
        if found is not None:
            return str(found), False
        id_ = self._free_id("project", row["id"]) or new_id()
        self._connection.execute(
            "INSERT INTO project (id, name, root, owner, environment, added_at, removed_at)"
            " VALUES (?,?,CAST(? AS TEXT),?,?,?,?)",
            (
                id_,
                row["name"],
                row["root"],
                row["owner"],
                row["environment"] or "dev",
                self._when(row["added_at"]),
                row["removed_at"],
            ),
        )
        return id_, True

    def resource(self, row: Mapping[str, Any]) -> tuple[str, bool]:
        """The id of a project's resource, known by its id or its path; whether it is new."""
        found = self._one("SELECT id FROM resource WHERE id = ? AND project = ?", row["id"], row["project"])
        if found is None:
            found = self._one(
                "SELECT id FROM resource WHERE project = ? AND path = CAST(? AS TEXT)", row["project"], row["path"]
            )
        if found is not None:
            return str(found), False
        id_ = self._free_id("resource", row["id"]) or new_id()
        self._connection.execute(
            "INSERT INTO resource (id, project, role, role_by, path, added_at) VALUES (?,?,?,?,CAST(? AS TEXT),?)",
            (
                id_,
                row["project"],
                row["role"],
                row["role_by"] or "declared",
                row["path"],
                self._when(row["added_at"]),
            ),
        )
        return id_, True

    def object(self, row: Mapping[str, Any], wanted: int | None) -> tuple[int, bool]:
        """The number of an inode; `wanted` if it is new and that is free."""
        identity = (row["filesystem"], row["handle_type"], row["handle"])
        found = self._one("SELECT id FROM object WHERE filesystem = ? AND handle_type = ? AND handle = ?", *identity)
        if found is not None:
            return int(found), False
        if wanted is not None and self._one("SELECT id FROM object WHERE id = ?", wanted) is not None:
            wanted = None
        self._connection.execute(
            "INSERT INTO object (id, filesystem, handle_type, handle, inode, first_seen, gone_at)"
            " VALUES (?,?,?,?,?,?,?)",
            (wanted, *identity, row["inode"], row["first_seen"], row["gone_at"]),
        )
        return self._connection.last_insert_rowid(), True

    def binding(self, row: Mapping[str, Any]) -> bool:
        """Add a binding; False: it is known."""
        columns = ("resource", "object", "parent_type", "parent", "name", "valid_from")
        values = [row[column] for column in columns]
        if self._one(f"SELECT id FROM binding WHERE {_equal(columns)}", *values) is not None:
            return False
        self._insert("binding", (*columns, "valid_to"), [*values, row["valid_to"]])
        return True

    def node(self, digest: bytes, content: bytes) -> bool:
        """Add a node of a manifest; False: it is known."""
        self._connection.execute("INSERT OR IGNORE INTO manifest_node VALUES (?,?)", (digest, content))
        return bool(self._connection.changes())

    def node_content(self, digest: bytes) -> bytes:
        """The content of a node that is there."""
        [(content,)] = self._connection.execute("SELECT content FROM manifest_node WHERE digest = ?", (digest,))
        return bytes(content)

    def runs_that_ran(self, uid: int, name: str, submitted_at: float, ended_at: float) -> list[int]:
        """The finished runs of this user with this name and exactly these times, oldest first."""
        rows = self._connection.execute(
            "SELECT id FROM run WHERE uid = ? AND submitted_at = ? AND ended_at = ? AND request ->> '$.name' = ?"
            " ORDER BY id",
            (uid, submitted_at, ended_at, name),
        )
        return [int(number) for (number,) in rows]

    def runs_from(self, source: str, uid: int) -> dict[str, tuple[int, str]]:
        """This user's runs that came from there: number and result by the name that they have there."""
        rows = self._connection.execute(
            "SELECT l.facts ->> '$.imported.id', r.id, r.result FROM run r JOIN lineage l ON l.run = r.id"
            " WHERE r.uid = ? AND r.boot = ? AND l.facts ->> '$.imported.from' = ?",
            (uid, IMPORTED, source),
        )
        return {str(key): (int(number), str(result)) for key, number, result in rows}

    def is_free_run(self, number: int) -> bool:
        """Whether no run has this number."""
        return self._one("SELECT id FROM run WHERE id = ?", number) is None

    def run(self, row: Mapping[str, Any]) -> None:
        """Add a run, or replace what is known of it."""
        columns = tuple(row)
        kept = ", ".join(f"{column} = excluded.{column}" for column in ("result", "ended_at", "outcome"))
        self._insert("run", columns, list(row.values()), f"ON CONFLICT (id) DO UPDATE SET {kept}")

    def lineage(self, row: Mapping[str, Any]) -> None:
        """Remember how much of a run is known."""
        self._insert("lineage", tuple(row), list(row.values()), verb="INSERT OR REPLACE")

    def process(self, row: Mapping[str, Any]) -> bool:
        """Add a process of a run; False: it is known."""
        self._insert("process", tuple(row), list(row.values()), verb="INSERT OR IGNORE")
        return bool(self._connection.changes())

    def version_with_id(self, ids: tuple[str, str], resource: str) -> int | None:
        """The number of a version of a resource that has either id."""
        return self._number("SELECT number FROM version WHERE id IN (?,?) AND resource = ?", *ids, resource)

    def version_with_digest(self, resource: str, row: Mapping[str, Any]) -> int | None:
        """The number of a version of a resource that contained the same; its digest is filled in where it was not."""
        if row["digest"] is None:
            return None
        sql = "SELECT number FROM version WHERE resource = ? AND digest = ? AND number IS NOT NULL"
        number = self._number(sql, resource, row["digest"])
        if number is None and row["ctime_ns"]:
            number = self._number(
                "SELECT number FROM version WHERE resource = ? AND digest IS NULL AND number IS NOT NULL"
                " AND size = ? AND mtime_ns = ? AND ctime_ns = ? ORDER BY number DESC",
                resource,
                row["size"],
                row["mtime_ns"],
                row["ctime_ns"],
            )
            if number is not None:
                self._connection.execute("UPDATE version SET digest = ? WHERE number = ?", (row["digest"], number))
        return number

    def version(self, row: Mapping[str, Any], wanted: int | None, *, otherwise: str) -> int:
        """Add a version; its number: `wanted` if that is free. `otherwise`: its id where its own cannot be used."""
        if wanted is None or self._number("SELECT number FROM version WHERE number = ?", wanted) is not None:
            wanted = next(self._numbers)
        else:
            self._numbers = itertools.count(max(wanted + 1, next(self._numbers)))
        values = {**row, "id": self._free_id("version", row["id"]) or otherwise, "number": wanted}
        self._insert("version", tuple(values), list(values.values()))
        return wanted

    def edge(self, row: Mapping[str, Any]) -> bool:
        """Add an edge; False: it is known."""
        self._insert("edge", tuple(row), list(row.values()), verb="INSERT OR IGNORE")
        return bool(self._connection.changes())

    def model(self, row: Mapping[str, Any]) -> tuple[str, bool]:
        """The id of a project's model, known by its name; whether it is new."""
        found = self._one("SELECT id FROM model WHERE project = ? AND name = ?", row["project"], row["name"])
        if found is not None:
            return str(found), False
        values = {**row, "id": self._free_id("model", row["id"]) or new_id(), "added_at": self._when(row["added_at"])}
        self._insert("model", tuple(values), list(values.values()))
        return str(values["id"]), True

    def model_version(self, row: Mapping[str, Any], wanted: int | None) -> tuple[int, bool]:
        """The number of a model's version, known by what it is a version of; a new one is `wanted` if that is free."""
        model, version = row["model"], row["version"]
        known = self._number("SELECT number FROM model_version WHERE model = ? AND version = ?", model, version)
        if known is not None:
            return known, False
        taken = "SELECT number FROM model_version WHERE model = ? AND number = ?"
        if wanted is None or self._number(taken, model, wanted) is not None:
            [(last,)] = self._connection.execute("SELECT max(number) FROM model_version WHERE model = ?", (model,))
            wanted = (last or 0) + 1
        values = {**row, "number": wanted, "added_at": self._when(row["added_at"])}
        self._insert("model_version", tuple(values), list(values.values()))
        return wanted, True

    def has_alias(self, row: Mapping[str, Any]) -> bool:
        """Whether exactly this move of an alias is known."""
        columns = ("model", "alias", "number", "reason", "at")
        sql = f"SELECT id FROM alias_log WHERE {_equal(columns)}"
        return self._one(sql, *(row[column] for column in columns)) is not None

    def alias_moved_at(self, model: str, alias: str) -> float | None:
        """When an alias was moved last."""
        sql = "SELECT at FROM alias_log WHERE model = ? AND alias = ? ORDER BY id DESC"
        found = self._one(sql, model, alias)
        return None if found is None else float(found)

    def alias(self, row: Mapping[str, Any]) -> None:
        """Add a move of an alias."""
        self._insert("alias_log", tuple(row), list(row.values()))

    def _when(self, told: float | None) -> float:
        return self._at if told is None else told

    def _free_id(self, table: str, wanted: str) -> str | None:
        """`wanted` where it is an id as ours are and nobody has it."""
        if _ID.fullmatch(wanted) and self._one(f"SELECT 1 FROM {table} WHERE id = ?", wanted) is None:
            return wanted
        return None

    def _number(self, sql: str, *bindings: Any) -> int | None:
        found = self._one(sql, *bindings)
        return None if found is None else int(found)

    def _one(self, sql: str, *bindings: Any) -> Any:
        row = self._connection.execute(f"{sql} LIMIT 1", bindings).fetchone()
        return None if row is None else row[0]

    def _insert(
        self, table: str, columns: Sequence[str], values: list[Any], then: str = "", verb: str = "INSERT"
    ) -> None:
        places = ",".join("?" * len(columns))
        self._connection.execute(f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({places}) {then}", values)


def facts_with(facts: Mapping[str, Any], *, source: str, id_: str) -> str:
    """The facts of a run that came from elsewhere, so that `runs_from` finds it."""
    return json.dumps({**facts, "imported": {"from": source, "id": id_}})


def _equal(columns: Sequence[str]) -> str:
    return " AND ".join(f"{column} IS ?" for column in columns)
