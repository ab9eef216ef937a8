"""What does it cost to load what is known of a project of 10,000 resources, and to know what to warm in which order?

Ours: the plan of `mlosctl project open`, first after something changed, and again; and, beside it, what opening adds:
finding every file again by its handle. The peer: MLflow's SQLite store asked for the same, one run with 10,000 inputs.
Where the environment variable MLFLOW_PYTHON names a Python with mlflow (skinny will do, with sqlalchemy, alembic and
pandas), MLflow itself is asked (`get_run`); else the queries that it makes, on its tables, without its objects: less
than MLflow does.

`python -m bench.project_open [RESOURCES]`
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import daemon
from mlosd.core.ids import new_id
from mlosd.kernel import mountinfo
from mlosd.kernel.file_handle import name_to_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.projects.resolve import Found, Resolver
from mlosd.store.db import Database
from mlosd.store.lineage import READ, Edge, record
from mlosd.store.projects import Found as FoundRow
from mlosd.store.projects import ProjectRow, Projects
from mlosd.store.runs import Run, Runs
from mlosd.store.warming import Warming

RESOURCES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
ROUNDS = 15
RUN = 7

# mlflow/store/tracking/dbmodels/models.py and mlflow/store/db_migrations of MLflow 2 and 3.
MLFLOW = """
CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(250), source_type VARCHAR(20),
  status VARCHAR(9), start_time BIGINT, end_time BIGINT, lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200),
  experiment_id INTEGER);
CREATE TABLE params (key VARCHAR(250) NOT NULL, value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
  PRIMARY KEY (key, run_uuid));
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE TABLE tags (key VARCHAR(250) NOT NULL, value VARCHAR(8000), run_uuid VARCHAR(32) NOT NULL,
  PRIMARY KEY (key, run_uuid));
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
CREATE TABLE latest_metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT, step BIGINT NOT NULL,
  is_nan BOOLEAN NOT NULL, run_uuid VARCHAR(32) NOT NULL, PRIMARY KEY (key, run_uuid));
CREATE INDEX index_latest_metrics_run_uuid ON latest_metrics (run_uuid);
CREATE TABLE datasets (dataset_uuid VARCHAR(36) NOT NULL, experiment_id INTEGER NOT NULL, name VARCHAR(500) NOT NULL,
  digest VARCHAR(36) NOT NULL, dataset_source_type VARCHAR(36) NOT NULL, dataset_source TEXT NOT NULL,
  dataset_schema TEXT, dataset_profile TEXT, PRIMARY KEY (experiment_id, name, digest));
CREATE INDEX index_datasets_dataset_uuid ON datasets (dataset_uuid);
CREATE TABLE inputs (input_uuid VARCHAR(36) NOT NULL, source_type VARCHAR(36) NOT NULL, source_id VARCHAR(36) NOT NULL,
  destination_type VARCHAR(36) NOT NULL, destination_id VARCHAR(36) NOT NULL,
  PRIMARY KEY (source_type, source_id, destination_type, destination_id));
CREATE INDEX index_inputs_destination_type_destination_id_source_type
  ON inputs (destination_type, destination_id, source_type);
CREATE INDEX index_inputs_input_uuid ON inputs (input_uuid);
CREATE TABLE input_tags (input_uuid VARCHAR(36) NOT NULL, name VARCHAR(255) NOT NULL, value VARCHAR(500) NOT NULL,
  PRIMARY KEY (input_uuid, name));
"""

ASK_MLFLOW = """
import sys, time
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore("sqlite:///" + sys.argv[1] + "/mlflow.db", sys.argv[1])
count, rounds = int(sys.argv[2]), int(sys.argv[3])
experiment = store.create_experiment("bench")
run = store.create_run(experiment, "ann", 0, [], "run").info.run_id
def of(i):
    source = '{"uri": "/srv/flights/data/part-%06d.csv"}' % i
    dataset = Dataset("part-%06d" % i, "%08x" % i, "local", source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])
for begin in range(0, count, 500):
    store.log_inputs(run, [of(i) for i in range(begin, min(begin + 500, count))])
store.get_run(run)
for _ in range(rounds):
    began = time.perf_counter()
    found = store.get_run(run)
    assert len(found.inputs.dataset_inputs) == count
    print(time.perf_counter() - began)
"""


def main() -> None:
    daemon.machine()
    with tempfile.TemporaryDirectory(prefix="mlosd-bench-", dir=".") as folder:
        root = Path(folder).resolve()
        asyncio.run(ours(root))
        peer(root)


async def ours(root: Path) -> None:
    """A project whose files exist, and whose last run used half of them."""
    database = Database(root / "mlosd.db")
    project = ProjectRow(new_id(), "flights", str(root / "flights"), os.getuid(), "dev", time.time())
    await Projects(database).add(project, files(Path(project.root)))
    numbers = [number for (number,) in database.read("SELECT number FROM version ORDER BY number DESC")]
    edges = [Edge(RUN, number, READ, at) for at, number in enumerate(numbers[: RESOURCES // 2])]
    columns = (RUN, project.id, os.getuid(), "dev", 0, "DONE", "ok", 0.0, 1.0, "boot", "{}", "{}")
    await Runs(database).insert([Run(*columns)], first=lambda: None)
    await database.write_many(
        lambda connection: record(connection, RUN, state="complete", reasons=[], facts="{}", edges=edges, processes=[])
    )
    first = [seconds(lambda: Warming(database).plan(project)) for _ in range(ROUNDS)]
    warming = Warming(database)
    plan = warming.plan(project)
    assert (len(plan.used), len(plan.rest)) == (RESOURCES // 2, RESOURCES - RESOURCES // 2)
    again = [seconds(lambda: warming.plan(project)) for _ in range(ROUNDS)]
    tell("ours, first after a change", first)
    tell("ours, again", again)

    def find() -> None:
        resolver, found = Resolver(None, remote=False, mounts=mountinfo.read()), Found()
        resolver.find([*plan.used, *plan.rest], found)
        resolver.close()
        assert len(found.targets) == RESOURCES

    tell("ours, every file found and opened again", [seconds(find) for _ in range(3)])
    await database.close()


def files(root: Path) -> list[FoundRow]:
    """Small files, as a survey finds them."""
    (root / "data").mkdir(parents=True)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    filesystem, parent = str(filesystem_id(fd)), name_to_handle_at(root / "data")
    os.close(fd)
    found = []
    for number in range(RESOURCES):
        path = root / f"data/part-{number:06}.csv"
        path.write_text("a,b\n")
        handle, status = name_to_handle_at(path), path.stat()
        found.append(
            FoundRow(
                role="dataset", path=f"data/{path.name}", name=os.fsencode(path.name), filesystem=filesystem,
                handle_type=handle.type, handle=handle.bytes, parent_type=parent.type, parent=parent.bytes,
                inode=status.st_ino, size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns,
            )
        )  # fmt: skip
    return found


def peer(root: Path) -> None:
    """MLflow, or what it asks its database."""
    if python := os.environ.get("MLFLOW_PYTHON"):
        command = [python, "-W", "ignore", "-c", ASK_MLFLOW, str(root), str(RESOURCES), "5"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        tell("MLflow, SqlAlchemyStore.get_run", [float(line) for line in done.stdout.split()])
    connection = sqlite3.connect(root / "mlflow-tables.db")
    connection.executescript(MLFLOW)
    run = "f" * 32
    connection.execute(
        "INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?)", (run, "r", "", "FINISHED", 0, 1, "active", "/", 1)
    )
    for number in range(RESOURCES):
        dataset, source = f"{number:036x}", f'{{"uri": "/srv/flights/data/part-{number:06}.csv"}}'
        digest = f"{number:08x}"
        row = (dataset, 1, f"part-{number:06}", digest, "local", source, None, None)
        connection.execute("INSERT INTO datasets VALUES (?,?,?,?,?,?,?,?)", row)
        connection.execute("INSERT INTO inputs VALUES (?,?,?,?,?)", (f"i{number:035x}", "DATASET", dataset, "RUN", run))
        connection.execute("INSERT INTO input_tags VALUES (?,?,?)", (f"i{number:035x}", "mlflow.data.context", "train"))
    connection.commit()
    tell("MLflow's queries on its tables, no objects", [seconds(lambda: ask(connection, run)) for _ in range(ROUNDS)])


def ask(connection: sqlite3.Connection, run: str) -> None:
    """What SqlAlchemyStore.get_run selects."""
    for table in ("runs", "params", "tags", "latest_metrics"):
        connection.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (run,)).fetchall()
    inputs = connection.execute(
        "SELECT i.*, d.* FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id"
        " WHERE i.destination_type = 'RUN' AND i.destination_id = ? AND i.source_type = 'DATASET'",
        (run,),
    ).fetchall()
    tags = connection.execute(
        "SELECT t.* FROM input_tags t JOIN inputs i ON i.input_uuid = t.input_uuid"
        " WHERE i.destination_type = 'RUN' AND i.destination_id = ?",
        (run,),
    ).fetchall()
    assert len(inputs) == len(tags) == RESOURCES


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def tell(way: str, times: list[float]) -> None:
    daemon.tell(
        way=way,
        resources=RESOURCES,
        milliseconds=daemon.spread([one * 1000 for one in times], digits=3),
        rounds=len(times),
    )


if __name__ == "__main__":
    main()
