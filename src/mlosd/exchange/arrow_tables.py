"""The tables of an Arrow snapshot: which columns they have, and how the daemon asks its database for them.

The names and types of columns are an interface: readers of any version find by name what they know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from mlosd.exchange.records import Encoding
from mlosd.store.snapshot import TableSnapshot

BATCH = 16384

Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class ArrowTable:
    """`columns`: by name the expression that gives it, and its encoding. `rows`: store.snapshot's name of the rows."""

    rows: str
    columns: Mapping[str, tuple[str, Encoding]]


def _plain(rows: str, **columns: Encoding) -> ArrowTable:
    return ArrowTable(
        rows,
        {name: (f"CAST({name} AS BLOB)" if kind == "path" else name, kind) for name, kind in columns.items()},
    )


TABLES: Mapping[str, ArrowTable] = {
    "project": _plain(
        "project",
        id="text",
        name="text",
        root="path",
        owner="integer",
        environment="text",
        added_at="number",
        removed_at="number",
    ),
    # By project, so that a project's resources are one slice; see `first_resource` of its row.
    "resource": ArrowTable(
        "resource_now",
        {
            "id": ("r.id", "text"),
            "project": ("r.project", "text"),
            "role": ("r.role", "text"),
            "path": ("CAST(r.path AS BLOB)", "path"),
            "filesystem": ("o.filesystem", "text"),
            "handle_type": ("o.handle_type", "integer"),
            "handle": ("o.handle", "bytes"),
            "inode": ("o.inode", "integer"),
            "version": ("v.number", "integer"),
            "digest": ("v.digest", "bytes"),
            "size": ("v.size", "integer"),
            "format": ("v.format", "text"),
            "seen_at": ("v.seen_at", "number"),
        },
    ),
    "version": _plain(
        "version",
        number="integer",
        resource="text",
        digest="bytes",
        size="integer",
        mtime_ns="integer",
        made_by="integer",
        seen_at="number",
        format="text",
        header="text",
        manifest="bytes",
    ),
    "run": ArrowTable(
        "run",
        {
            "id": ("id", "integer"),
            "project": ("project", "text"),
            "uid": ("uid", "integer"),
            "env": ("env", "text"),
            "result": ("result", "text"),
            "state": ("state", "text"),
            "submitted_at": ("submitted_at", "number"),
            "ended_at": ("ended_at", "number"),
            # What people keep in an environment is not for a file that lies about.
            "request": ("json_remove(request, '$.environment')", "text"),
            "outcome": ("outcome", "text"),
        },
    ),
    "lineage": _plain("lineage", run="integer", state="text", reasons="text", facts="text", recorded_at="number"),
    "edge": _plain("edge", run="integer", version="integer", modes="integer", first_use_ns="integer"),
    "model": _plain("model", id="text", project="text", name="text", resource="text", added_at="number"),
    "model_version": _plain(
        "model_version",
        model="text",
        number="integer",
        version="integer",
        digest="bytes",
        captured="text",
        added_at="number",
    ),
    "alias": _plain(
        "alias_log", model="text", alias="text", number="integer", actor="integer", reason="text", at="number"
    ),
}

SLICES: Mapping[str, Encoding] = {"first_resource": "integer", "resources": "integer"}
"""Columns of a project: where its resources are in the resource table, and how many."""


def schema() -> dict[str, dict[str, Encoding]]:
    """Each table's columns and their encodings."""
    told = {name: {column: encoding for column, (_, encoding) in t.columns.items()} for name, t in TABLES.items()}
    told["project"] |= SLICES
    return told


def batches(snapshot: TableSnapshot) -> Iterator[tuple[str, int, Columns]]:
    """(table, rows, columns), some rows at a time. Bytes are text of one letter a byte, which JSON can carry."""
    for name, table in TABLES.items():
        expressions = [expression for expression, _ in table.columns.values()]
        for rows in snapshot.rows(table.rows, expressions, batch=BATCH):
            columns = dict(zip(table.columns, map(list, zip(*rows, strict=True)), strict=True))
            for column, (_, encoding) in table.columns.items():
                if encoding in ("path", "name", "bytes"):
                    columns[column] = [v if v is None else v.decode("latin-1") for v in columns[column]]
            if name == "project":
                columns |= _slices(columns["id"], snapshot.resources_by_project())
            yield name, len(rows), columns


def _slices(projects: list[str], counts: Mapping[str, int]) -> Columns:
    """Where each project's resources are, both being sorted by the project's id. There is one batch of projects."""
    have = [counts.get(project, 0) for project in projects]
    return {"first_resource": list(accumulate(have, initial=0))[:-1], "resources": have}
