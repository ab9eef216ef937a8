"""How long until a project of 10,000 resources is there to be looked at, without the daemon?

Ours: the Arrow snapshot, mapped; open, find the project, take its resources and read one of each column. Beside it: the
same rows out of our SQLite database, and out of tables as MLflow has them (a run's inputs, joined with their datasets).
Half of the table belongs to other projects. After the imports; the rounds take turns.
"""

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apsw

import mlosd.snapshot
from bench import daemon
from mlosd.exchange.shelf import Sequence, Shelf
from mlosd.store.schema import MIGRATIONS
from mlosd.store.snapshot import Scope, TableSnapshot

RESOURCES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 50

MLFLOW = """
CREATE TABLE datasets (dataset_uuid TEXT, experiment_id INTEGER, name TEXT, digest TEXT, dataset_source_type TEXT,
  dataset_source TEXT, dataset_schema TEXT, dataset_profile TEXT, PRIMARY KEY (experiment_id, name, digest));
CREATE TABLE inputs (input_uuid TEXT, source_type TEXT, source_id TEXT, destination_type TEXT, destination_id TEXT,
  PRIMARY KEY (source_type, source_id, destination_type, destination_id));
CREATE INDEX by_destination ON inputs (destination_type, destination_id, source_type);
CREATE INDEX by_dataset ON datasets (dataset_uuid);
"""


def main() -> None:
    daemon.machine()
    with tempfile.TemporaryDirectory(prefix="mlosd-bench-", dir=".") as directory, daemon.run_directory() as run:
        ours, theirs = Path(directory, "mlosd.db"), Path(directory, "mlflow.db")
        fill(ours)
        fill_mlflow(theirs)
        with TableSnapshot(ours) as table:
            table.limit(Scope(frozenset({os.getuid()})))
            began = time.perf_counter()
            shelf = Shelf(run / "snapshots", own_uid=os.getuid())
            kept = shelf.put(table, uid=os.getuid(), gid=os.getgid(), sequence=Sequence(1, 1))
            daemon.tell(way="write the snapshot", milliseconds=round((time.perf_counter() - began) * 1000, 1))
        ways: dict[str, Callable[[], int]] = {
            "snapshot": lambda: snapshot(kept.path),
            "sqlite, our tables": lambda: rows(ours, OURS),
            "sqlite, MLflow's tables": lambda: rows(theirs, THEIRS),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS + 1):
            for way, open_ in ways.items():
                began = time.perf_counter()
                found = open_()
                times[way].append((time.perf_counter() - began) * 1000)
                assert found == RESOURCES, (way, found)
        for way, values in times.items():
            daemon.tell(way=way, milliseconds=daemon.spread(values[1:], digits=3), resources=RESOURCES, rounds=ROUNDS)


def snapshot(path: Path) -> int:
    with mlosd.snapshot.open(path) as found:
        resources = found.project("mine").resources
        for column in resources.column_names:
            resources[column][RESOURCES // 2].as_py()
        return int(resources.num_rows)


OURS = (
    "SELECT r.id, r.role, r.path, o.filesystem, o.handle, v.digest, v.size, v.format FROM resource r"
    " JOIN binding b ON b.resource = r.id AND b.valid_to IS NULL JOIN object o ON o.id = b.object"
    " JOIN version v ON v.number = (SELECT max(number) FROM version WHERE resource = r.id)"
    " WHERE r.project = (SELECT id FROM project WHERE name = 'mine')"
)
THEIRS = (
    "SELECT d.* FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id"
    " WHERE i.destination_type = 'RUN' AND i.destination_id = 'mine' AND i.source_type = 'DATASET'"
)


def rows(path: Path, sql: str) -> int:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        found = database.execute(sql).fetchall()
    database.close()
    return len(found)


def fill(path: Path) -> None:
    """Two projects of this size."""
    with apsw.Connection(os.fspath(path)) as database, database:
        for migration in MIGRATIONS:
            database.execute(migration.sql())
        database.execute("INSERT INTO schema_info VALUES (1, 1, 1.0)")
        for name in ("mine", "other"):
            database.execute("INSERT INTO project VALUES (?, ?, '/x', ?, 'dev', 0, NULL)", (name, name, os.getuid()))
            for number in range(RESOURCES):
                id_, handle = f"{name}-{number:012}", f"{name}{number}".encode()
                database.execute(
                    "INSERT INTO resource VALUES (?, ?, 'dataset', ?, 0, 'declared')", (id_, name, f"data/{number}")
                )
                database.execute("INSERT INTO object VALUES (NULL, 'uuid:x', 1, ?, ?, 0, NULL)", (handle, number))
                object_ = database.last_insert_rowid()
                database.execute(
                    "INSERT INTO binding VALUES (NULL, ?, ?, 1, x'00', ?, 0, NULL)", (id_, object_, handle)
                )
                database.execute(
                    "INSERT INTO version (id, resource, object, digest, size, mtime_ns, ctime_ns, seen_at, number,"
                    " format) VALUES (?, ?, ?, ?, ?, 1, 1, 0, ?, 'csv')",
                    (id_, id_, object_, handle.ljust(32, b"."), number, object_),
                )


def fill_mlflow(path: Path) -> None:
    """Two runs with as many inputs."""
    with sqlite3.connect(path) as database:
        database.executescript(MLFLOW)
        for run in ("mine", "other"):
            ids = [f"{run}-{number:012}" for number in range(RESOURCES)]
            database.executemany(
                "INSERT INTO datasets VALUES (?, 1, ?, ?, 'local', ?, NULL, NULL)",
                [(id_, f"{run}/data/{n}", id_[-8:], f'{{"uri": "/x/data/{n}"}}') for n, id_ in enumerate(ids)],
            )
            database.executemany("INSERT INTO inputs VALUES (?, 'DATASET', ?, 'RUN', ?)", [(i, i, run) for i in ids])
    database.close()


if __name__ == "__main__":
    main()
