"""The records that the metadata table goes out and comes in as: one JSON object a line, one kind a table.

What a kind's fields are is said once, in io.mlosd.Records.idl; here is how a column becomes a field and back.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from mlosd.core import data
from mlosd.wire import idl, types
from mlosd.wire.check import Check, Checks

VERSION = 1
"""Raised with every change of the fields. An older mlosd refuses a file of a newer version."""

Encoding = Literal["text", "path", "name", "bytes", "integer", "number", "json"]
"""`path` is TEXT and `name` a BLOB in the database, both of any bytes; `json` is TEXT there and a value here."""

Record = dict[str, Any]
Value = str | bytes | int | float | None

_LATEST_MOMENT = 253402300800.0  # the year 10000: what time.localtime() and people can show


@dataclass(frozen=True, slots=True)
class Kind:
    """One table: its columns in the order of the schema."""

    name: str
    table: str
    type: str
    columns: Mapping[str, Encoding]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "project",
            "project",
            "Project",
            {
                "id": "text",
                "name": "text",
                "root": "path",
                "owner": "integer",
                "environment": "text",
                "added_at": "number",
                "removed_at": "number",
            },
        ),
        Kind(
            "resource",
            "resource",
            "Resource",
            {
                "id": "text",
                "project": "text",
                "role": "text",
                "role_by": "text",
                "path": "path",
                "added_at": "number",
            },
        ),
        Kind(
            "object",
            "object",
            "Object",
            {
                "id": "integer",
                "filesystem": "text",
                "handle_type": "integer",
                "handle": "bytes",
                "inode": "integer",
                "first_seen": "number",
                "gone_at": "number",
            },
        ),
        Kind(
            "binding",
            "binding",
            "Binding",
            {
                "resource": "text",
                "object": "integer",
                "parent_type": "integer",
                "parent": "bytes",
                "name": "name",
                "valid_from": "number",
                "valid_to": "number",
            },
        ),
        Kind("node", "manifest_node", "Node", {"digest": "bytes", "content": "bytes"}),
        Kind(
            "run",
            "run",
            "Run",
            {
                "id": "integer",
                "project": "text",
                "uid": "integer",
                "env": "text",
                "priority": "integer",
                "state": "text",
                "result": "text",
                "submitted_at": "number",
                "ended_at": "number",
                "boot": "text",
                "request": "json",
                "outcome": "json",
            },
        ),
        Kind(
            "lineage",
            "lineage",
            "Lineage",
            {"run": "integer", "state": "text", "reasons": "json", "facts": "json", "recorded_at": "number"},
        ),
        Kind(
            "process",
            "process",
            "Process",
            {
                "run": "integer",
                "pid": "integer",
                "started_ns": "integer",
                "parent": "integer",
                "executable": "name",
                "status": "integer",
            },
        ),
        Kind(
            "version",
            "version",
            "Version",
            {
                "id": "text",
                "number": "integer",
                "resource": "text",
                "object": "integer",
                "digest": "bytes",
                "size": "integer",
                "mtime_ns": "integer",
                "ctime_ns": "integer",
                "made_by": "integer",
                "seen_at": "number",
                "format": "text",
                "header": "json",
                "manifest": "bytes",
            },
        ),
        Kind(
            "edge",
            "edge",
            "Edge",
            {"run": "integer", "version": "integer", "modes": "integer", "first_use_ns": "integer"},
        ),
        Kind(
            "model",
            "model",
            "Model",
            {"id": "text", "project": "text", "name": "text", "resource": "text", "added_at": "number"},
        ),
        Kind(
            "model_version",
            "model_version",
            "ModelVersion",
            {
                "model": "text",
                "number": "integer",
                "version": "integer",
                "digest": "bytes",
                "captured": "text",
                "stored": "integer",
                "added_at": "number",
                "pruned_at": "number",
            },
        ),
        Kind(
            "alias",
            "alias_log",
            "Alias",
            {
                "model": "text",
                "alias": "text",
                "number": "integer",
                "actor": "integer",
                "reason": "text",
                "at": "number",
            },
        ),
    )
}
"""Every kind, in the order in which they are written: what a record speaks of has come before it."""

BEYOND_TABLES = {"mlosd": "Header", "left": "Left", "end": "End"}


def encode(kind: Kind, row: tuple[Any, ...]) -> Record:
    """A row as a record; what is null is left out."""
    record: Record = {"kind": kind.name}
    for (column, encoding), value in zip(kind.columns.items(), row, strict=True):
        if value is not None:
            record[column] = _ENCODE[encoding](value)
    return record


def decode(kind: Kind, column: str, value: Any) -> Value:
    """A field of a record as its column has it. Raises ValueError."""
    if value is None:
        return None
    encoding = kind.columns[column]
    match encoding:
        case "path" | "name":
            return name(value)
        case "bytes":
            return bytes.fromhex(value)
        case "json":
            return json.dumps(value)
        case "number":
            if not 0 <= value < _LATEST_MOMENT:
                raise ValueError(f"{column} is not a time: {value}")
            return float(value)
        case _:
            known: str | int = value
            return known


def name(value: Any) -> bytes:
    """A file name or path out of a record. Raises ValueError."""
    match value:
        case str():
            found = os.fsencode(value)
        case {"hex": str() as digits}:
            found = bytes.fromhex(digits)
        case _:
            raise ValueError("a path is a string or {hex: ...}")
    if b"\0" in found or len(found) > 1 << 16:
        raise ValueError("a path has no NUL byte, and an end")
    return found


def named(value: bytes) -> str | dict[str, str]:
    """A file name or path for a record."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"hex": value.hex()}


@cache
def checks() -> Mapping[str, Check]:
    """By kind, the check of a record's fields: what the interface says."""
    interface = idl.read(data.path("interfaces/io.mlosd.Records.idl"))
    compiled = Checks(interface)
    by_type = {kind.name: kind.type for kind in KINDS.values()} | BEYOND_TABLES
    return {kind: compiled.of(types.Named(type_)) for kind, type_ in by_type.items()}


def store_name(*, first_migration: float) -> str:
    """What a database is called in exports: when it was made, hashed."""
    return hashlib.sha256(repr(first_migration).encode()).hexdigest()[:16]


def _same(value: Any) -> Any:
    return value


_ENCODE: dict[Encoding, Callable[[Any], Any]] = {
    "text": _same,
    "integer": _same,
    "number": _same,
    "path": named,
    "name": named,
    "bytes": bytes.hex,
    "json": json.loads,
}

printable = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")
"""What a name that people read may be made of."""
