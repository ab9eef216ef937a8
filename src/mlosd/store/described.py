"""Versions with all that a graph says of them, and the resources that a path leads to."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mlosd.store.db import Database

_COLUMNS = (
    "v.number, v.resource, r.project, p.name, p.owner, CAST(p.root AS BLOB), CAST(r.path AS BLOB), r.role, v.format,"
    " v.digest, v.size, v.mtime_ns, v.seen_at, v.made_by, v.manifest, v.header,"
    " (SELECT max(n.number) FROM version n WHERE n.resource = v.resource),"
    " EXISTS (SELECT 1 FROM binding b WHERE b.resource = r.id AND b.valid_to IS NULL),"
    " (SELECT m.name || ':' || k.number FROM model_version k JOIN model m ON m.id = k.model"
    " WHERE k.version = v.number ORDER BY k.number DESC LIMIT 1)"
)
_JOINED = "version v JOIN resource r ON r.id = v.resource JOIN project p ON p.id = r.project"


@dataclass(frozen=True, slots=True)
class Described:
    """A version. `path` is below the project's `root`; `newest`: number of the newest version of its resource.

    `bound`: whether it is a file now, as far as is known.
    `model`: NAME:NUMBER of the model version that it is. `header`: JSON. `manifest`: of a directory.
    """

    number: int
    resource: str
    project: str
    project_name: str
    owner: int
    root: str
    path: str
    role: str
    format: str | None
    digest: bytes | None
    size: int
    mtime_ns: int
    seen_at: float
    made_by: int | None
    manifest: bytes | None
    header: str | None
    newest: int
    bound: bool
    model: str | None


def versions(database: Database, numbers: Iterable[int]) -> dict[int, Described]:
    """Those of these versions that there are, by number, in this order."""
    rows = database.read(
        f"SELECT {_COLUMNS} FROM json_each(?) CROSS JOIN {_JOINED} WHERE v.number = value", (json.dumps(list(numbers)),)
    )
    return {row[0]: _described(row) for row in rows}


def at_path(database: Database, project: str, path: str) -> Described | None:
    """The newest version of the resource with this path in a project."""
    rows = database.read(
        f"SELECT {_COLUMNS} FROM {_JOINED} WHERE r.project = ? AND r.path = CAST(? AS TEXT) AND v.number IS NOT NULL"
        " ORDER BY v.number DESC LIMIT 1",
        (project, os.fsencode(path)),
    )
    return next(map(_described, rows), None)


def below(database: Database, project: str, folder: str, *, limit: int) -> list[Described]:
    """The newest versions of the resources below a folder; an empty folder is the project's root."""
    start = os.fsencode(folder) + b"/" if folder else b""
    # All that begins with "folder/" lies before "folder0": "0" comes after "/".
    rows = database.read(
        f"SELECT {_COLUMNS} FROM {_JOINED} WHERE r.project = ?1 AND r.path >= CAST(?2 AS TEXT)"
        " AND (?3 IS NULL OR r.path < CAST(?3 AS TEXT))"
        " AND v.number = (SELECT max(n.number) FROM version n WHERE n.resource = r.id) ORDER BY r.path LIMIT ?4",
        (project, start, start[:-1] + b"0" if folder else None, limit),
    )
    return list(map(_described, rows))


def _described(row: tuple[Any, ...]) -> Described:
    root, path, bound = os.fsdecode(row[5]), os.fsdecode(row[6]), bool(row[17])
    return Described(*(*row[:5], root, path, *row[7:17], bound, row[18]))
