"""Files of records, stores of other tools, and the table that they are imported into."""

import fcntl
import io
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.fakes.tree import materialize

from mlosd.exchange.telling import Telling

DATA = Path(__file__).resolve().parents[1] / "data"
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW

Record = dict[str, Any]


def records(*told: Record, source: str = "mlosd", version: int = 1) -> list[Record]:
    """These records, with a header and an end."""
    header = {"kind": "mlosd", "version": version, "source": source, "made_at": 1.0, "by": "a test", "store": "x"}
    return [header, *told, {"kind": "end", "records": len(told) + 1}]


def sealed(lines: Iterable[Record | bytes], *, seals: int = SEALS) -> int:
    """A memfd with these lines."""
    fd = os.memfd_create("records", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    for line in lines:
        os.write(fd, (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def run(id_: Any, **more: Any) -> Record:
    """A run that went well."""
    return {
        "kind": "run",
        "id": id_,
        "state": "DONE",
        "result": "ok",
        "submitted_at": 10.0,
        "ended_at": 20.0,
        "request": {"argv": ["true"], "cwd": "/", "environment": {}, "name": "true"},
        "outcome": {"state": {"result": "ok", "ended_at": 20.0}},
        **more,
    }


def told(source: str, read: Any) -> list[Record]:
    """What a reader tells: `read` is given a Telling."""
    out = io.BytesIO()
    telling = Telling(out, source=source, store="x")
    read(telling)
    telling.close()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def of_kind(found: Iterable[Record], kind: str) -> list[Record]:
    """The records of one kind."""
    return [record for record in found if record["kind"] == kind]


def left(found: Iterable[Record]) -> Mapping[str, int]:
    """What was not taken."""
    return {record["reason"]: record["count"] for record in of_kind(found, "left")}


def mlflow_db(directory: Path) -> Path:
    """The SQLite store of tests/data."""
    path = directory / "mlflow.db"
    with sqlite3.connect(path) as store:
        store.executescript((DATA / "mlflow3.sql").read_text("utf-8"))
    store.close()
    return path


def mlruns(directory: Path) -> Path:
    """The file store of tests/data."""
    return materialize(directory, json.loads((DATA / "mlflow2-files.json").read_text("utf-8"))) / "mlruns"


def dvc_project(directory: Path) -> Path:
    """The DVC project of tests/data."""
    return materialize(directory, json.loads((DATA / "dvc3-project.json").read_text("utf-8")))
