"""How long does it take to find everything that a version was made from?

A table of a million nodes (runs and versions) and ten million edges, as years of training on a machine leave it: in
each project runs prepare parts of a dataset from the parts before, train on them, go on from earlier models, and
evaluate; each opens the two hundred libraries of one of twenty environments, which all projects share.
Beside it: the same graph in the tables and indexes of ML Metadata (MLMD), asked breadth first as its GetLineage does;
and our own tables asked with one recursive query.

`python -m bench.closure [PART [QUESTIONS]]`: a PART-th of the size, for a quick look; each project keeps its history's
depth.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import apsw

from bench import daemon
from mlosd.store.closure import FOREIGN
from mlosd.store.db import Database
from mlosd.store.lineage import EXEC, READ, WRITE, Bounds, Lineage

PART = float(sys.argv[1]) if len(sys.argv) > 1 else 1
QUESTIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 100
SEED = 20261120
RUNS, PROJECTS, ENVIRONMENTS, LIBRARIES = 47_600, 100, 20, 190
EVERYTHING = 10_000_000
INPUT, OUTPUT = 3, 4  # MLMD's Event.type

MLMD = """
CREATE TABLE Artifact (id INTEGER PRIMARY KEY AUTOINCREMENT, type_id INT NOT NULL, uri TEXT, state INT,
  name VARCHAR(255), external_id VARCHAR(255) UNIQUE, create_time_since_epoch INT NOT NULL DEFAULT 0,
  last_update_time_since_epoch INT NOT NULL DEFAULT 0, metadata BLOB, UNIQUE (type_id, name));
CREATE TABLE Execution (id INTEGER PRIMARY KEY AUTOINCREMENT, type_id INT NOT NULL, last_known_state INT,
  name VARCHAR(255), external_id VARCHAR(255) UNIQUE, create_time_since_epoch INT NOT NULL DEFAULT 0,
  last_update_time_since_epoch INT NOT NULL DEFAULT 0, metadata BLOB, UNIQUE (type_id, name));
CREATE TABLE Event (id INTEGER PRIMARY KEY AUTOINCREMENT, artifact_id INT NOT NULL, execution_id INT NOT NULL,
  type INT NOT NULL, milliseconds_since_epoch INT, UNIQUE (artifact_id, execution_id, type));
CREATE INDEX idx_event_execution_id ON Event (execution_id);
"""


@dataclass
class Place:
    """A file, and the number of its newest version."""

    resource: str
    newest: int = 0


@dataclass
class Project:
    id: str
    code: list[Place]
    parts: list[Place]
    models: list[Place]
    shards: list[Place]


@dataclass
class History:
    """Rows for both schemas, made by the same dice."""

    dice: random.Random
    resources: list[tuple[object, ...]] = field(default_factory=list)
    versions: list[tuple[object, ...]] = field(default_factory=list)

    def place(self, project: str, role: str) -> Place:
        number = len(self.resources) + 1
        id_ = f"{number:08x}-0000-7000-8000-{self.dice.getrandbits(48):012x}"
        self.resources.append((id_, project, role, f"data/{role}/{number}"))
        return Place(id_)

    def version(self, place: Place, run: int | None) -> int:
        place.newest = len(self.versions) + 1
        id_ = f"{place.newest:08x}-1111-7000-8000-{self.dice.getrandbits(48):012x}"
        self.versions.append((id_, place.resource, place.newest, run, float(place.newest), self.dice.randbytes(32)))
        return place.newest

    def places(self, count: int, project: str, role: str) -> list[Place]:
        """New files; a file that no run made has its first version at once."""
        found = [self.place(project, role) for _ in range(count)]
        if role != "model":
            for place in found:
                self.version(place, None)
        return found

    def runs(self, count: int, projects: list[Project], environments: list[list[Place]]) -> Iterator[dict[int, int]]:
        """What each run used: version -> modes."""
        dice = self.dice
        for run in range(1, count + 1):
            project, environment = dice.choice(projects), dice.choice(environments)
            if dice.random() < 0.002:
                for library in dice.sample(environment, 20):
                    self.version(library, None)
            if dice.random() < 0.1:
                self.version(dice.choice(project.code), None)
            used = {library.newest: READ for library in environment} | {code.newest: READ for code in project.code}
            used[environment[0].newest] = READ | EXEC
            kind = dice.random()
            work = self._prepare if kind < 0.4 else self._train if kind < 0.8 else self._evaluate
            work(run, project, used)
            yield used

    def _prepare(self, run: int, project: Project, used: dict[int, int]) -> None:
        for part in self.dice.sample(project.parts, 3):
            used[part.newest] = READ
            used[self.version(part, run)] = WRITE
        for shard in project.shards:
            used[self.version(shard, run)] = WRITE

    def _train(self, run: int, project: Project, used: dict[int, int]) -> None:
        model = self.dice.choice(project.models)
        used.update((part.newest, READ) for part in project.parts)
        if model.newest and self.dice.random() < 0.3:
            used[model.newest] = READ
        for _ in range(6):
            used[self.version(model, run)] = READ | WRITE
        for shard in project.shards[:3]:
            used[self.version(shard, run)] = WRITE

    def _evaluate(self, run: int, project: Project, used: dict[int, int]) -> None:
        if newest := self.dice.choice(project.models).newest:
            used[newest] = READ
        used.update((part.newest, READ) for part in project.parts[:2])
        used[self.version(self.place(project.id, "component"), run)] = WRITE


def build(ours: apsw.Connection, peer: apsw.Connection) -> dict[str, int]:
    """Fill both; how much is in them."""
    history = History(random.Random(SEED))
    ids = [f"p{number}" for number in range(max(2, round(PROJECTS / PART)))]
    ours.executemany("INSERT INTO project VALUES (?, ?, '/', 0, 'dev', 0, NULL)", [("-", "-"), *((i, i) for i in ids)])
    environments = [history.places(LIBRARIES, "-", "library") for _ in range(max(2, round(ENVIRONMENTS / PART)))]
    projects = [
        Project(
            id_,
            history.places(5, id_, "code"),
            history.places(10, id_, "dataset"),
            history.places(2, id_, "model"),
            [history.place(id_, "dataset") for _ in range(30)],
        )
        for id_ in ids
    ]
    libraries = {place.resource for environment in environments for place in environment}

    def foreign(version: int) -> int:
        return FOREIGN if history.versions[version - 1][1] in libraries else 0

    runs, edges = round(RUNS / PART), 0
    for run, used in enumerate(history.runs(runs, projects, environments), 1):
        rows = sorted(used.items())
        ours.executemany(
            "INSERT INTO edge VALUES (?, ?, ?, ?)", [(run, v, m | foreign(v), i) for i, (v, m) in enumerate(rows)]
        )
        events = [(v, run, INPUT) for v, m in rows if m != READ | WRITE and m & READ]
        events += [(v, run, OUTPUT) for v, m in rows if m & WRITE]
        peer.executemany("INSERT INTO Event (artifact_id, execution_id, type) VALUES (?, ?, ?)", events)
        peer.execute("INSERT INTO Execution (id, type_id, name) VALUES (?, 1, ?)", (run, f"run{run}"))
        edges += len(rows)
    ours.executemany("INSERT INTO resource (id, project, role, path, added_at) VALUES (?,?,?,?,0)", history.resources)
    ours.execute("INSERT INTO object VALUES (1, 'fs', 1, x'00', 1, 0, NULL)")
    ours.executemany(
        "INSERT INTO version (id, resource, object, number, made_by, seen_at, digest, size, mtime_ns, ctime_ns)"
        " VALUES (?,?,1,?,?,?,?,0,0,0)",
        history.versions,
    )
    peer.executemany(
        "INSERT INTO Artifact (id, type_id, name) VALUES (?, 1, ?)", [(v[2], v[0]) for v in history.versions]
    )
    return {"nodes": runs + len(history.versions), "edges": edges}


def mlmd(peer: apsw.Connection, start: int) -> tuple[int, int]:
    """Upstream, as GetLineage walks it: events by artifact, events by execution, level by level."""
    artifacts, executions, front = {start}, set[int](), [start]
    while front:
        made = peer.execute(
            "SELECT execution_id FROM Event WHERE artifact_id IN (SELECT value FROM json_each(?)) AND type = ?",
            (json.dumps(front), OUTPUT),
        )
        new = {run for (run,) in made} - executions
        executions |= new
        read = peer.execute(
            "SELECT artifact_id FROM Event WHERE execution_id IN (SELECT value FROM json_each(?)) AND type = ?",
            (json.dumps(sorted(new)), INPUT),
        )
        front = sorted({artifact for (artifact,) in read} - artifacts)
        artifacts.update(front)
    return len(executions), len(artifacts)


def recursive(ours: Database, start: int) -> tuple[int, int]:
    """Upstream in one query."""
    rows = ours.read(
        "WITH RECURSIVE up (run) AS (SELECT made_by FROM version WHERE number = ?1 AND made_by IS NOT NULL UNION"
        " SELECT v.made_by FROM up JOIN edge e ON e.run = up.run JOIN version v ON v.number = e.version"
        " WHERE e.modes & 5 AND v.made_by IS NOT NULL)"
        " SELECT DISTINCT e.version FROM up JOIN edge e ON e.run = up.run WHERE e.modes & 5",
        (start,),
    )
    return 0, len(rows)


def main() -> None:
    daemon.machine()
    with tempfile.TemporaryDirectory(prefix="mlosd-bench-", dir=".") as folder:
        asyncio.run(ask(Path(folder)))


async def ask(folder: Path) -> None:
    database, peer = Database(folder / "mlosd.db"), apsw.Connection(str(folder / "mlmd.db"))
    began = time.perf_counter()
    with apsw.Connection(str(folder / "mlosd.db")) as ours, peer:
        peer.execute(MLMD)
        size = build(ours, peer)
    daemon.tell(**size, seconds_to_build=round(time.perf_counter() - began, 1))
    lineage, dice = Lineage(database), random.Random(SEED)
    made = [number for (number,) in database.read("SELECT number FROM version WHERE made_by IS NOT NULL")]
    starts = [dice.choice(made) for _ in range(QUESTIONS)]
    libraries = database.read(
        "SELECT number FROM version v JOIN resource r ON r.id = v.resource WHERE role = 'library'"
    )
    shared = [dice.choice(libraries)[0] for _ in range(QUESTIONS)]

    def up(start: int, bounds: Bounds) -> tuple[int, int]:
        found = lineage.upstream([start], bounds=bounds)
        return len(found.runs), len(found.versions)

    def down(start: int, bounds: Bounds) -> tuple[int, int]:
        found = lineage.downstream([start], bounds=bounds)
        return len(found.runs), len(found.versions)

    whole, few = Bounds(limit=EVERYTHING), Bounds(limit=2000)
    ways: dict[str, tuple[list[int], Callable[[int], tuple[int, int]]]] = {
        "upstream, without libraries": (starts, lambda start: up(start, whole)),
        "upstream, with libraries": (starts, lambda start: up(start, replace(whole, libraries=True))),
        "upstream, one recursive query": (starts, lambda start: recursive(database, start)),
        "upstream, MLMD's tables": (starts, lambda start: mlmd(peer, start)),
        "downstream, at most 2,000 nodes": (starts, lambda start: down(start, few)),
        "downstream of a library, at most 2,000 nodes": (shared, lambda start: down(start, few)),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    largest = dict.fromkeys(ways, (0, 0))
    for number in range(QUESTIONS):
        for way, (questions, answer) in ways.items():
            began = time.perf_counter()
            found = answer(questions[number])
            times[way].append((time.perf_counter() - began) * 1000)
            largest[way] = max(largest[way], found)
    for way, values in times.items():
        ordered = sorted(values)
        daemon.tell(
            way=way,
            milliseconds={
                "median": round(ordered[len(ordered) // 2], 2),
                "p99": round(ordered[len(ordered) * 99 // 100], 2),
                "max": round(ordered[-1], 2),
            },
            largest={"runs": largest[way][0], "versions": largest[way][1]},
        )
    await database.close()


if __name__ == "__main__":
    main()
