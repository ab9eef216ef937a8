"""Which versions each run used, and how much of that is known."""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import apsw

from mlosd.store import closure, described
from mlosd.store.closure import EXEC, FOREIGN, READ, USED, WRITE, Bounds, Closure, Edge
from mlosd.store.db import Database
from mlosd.store.described import Described

__all__ = ("EXEC", "READ", "WRITE", "Bounds", "Closure", "Described", "Edge", "Lineage", "LineageRow", "ProcessRow")

_TABLES = UUID("c1f0f4a6-6f0b-4d3e-9a57-0e5b1d6f2a11")
_EDGE = f"run, version, modes & {~FOREIGN}, first_use_ns"


def _foreign(modes: str, made_by: str) -> str:
    """SQL: the bit FOREIGN, unless the resource `r` is somebody's work.

    That are data and models wherever they are, the code and settings of projects, and what a run wrote. All else is
    the machine's.
    """
    ours = f"r.project NOT IN (SELECT id FROM project WHERE name = '-') OR {modes} & {WRITE} OR {made_by} IS NOT NULL"
    return f"{FOREIGN} * NOT (r.role IN ('dataset', 'model') OR (r.role NOT IN ('library', 'temporary') AND ({ours})))"


@dataclass(frozen=True, slots=True)
class LineageRow:
    """How much of a run is known. `state`: complete, partial or none; `facts`: JSON."""

    run: int
    state: str
    reasons: tuple[str, ...]
    facts: str
    recorded_at: float


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process of a run. `status` as wait(2) gives it; None: not known."""

    run: int
    pid: int
    started_ns: int
    parent: int | None
    executable: bytes | None
    status: int | None


def record(
    connection: apsw.Connection,
    run: int,
    *,
    state: str,
    reasons: Sequence[str],
    facts: str,
    edges: Iterable[Edge],
    processes: Iterable[ProcessRow],
) -> None:
    """Remember what a run used. Recorded again, the last word counts."""
    forget(connection, [run])
    add(connection, run, edges=edges, processes=processes)
    conclude(connection, run, state=state, reasons=reasons, facts=facts)


def conclude(connection: apsw.Connection, run: int, *, state: str, reasons: Sequence[str], facts: str) -> None:
    """All that a run used is there: it has lineage from now on."""
    connection.execute(
        "INSERT INTO lineage (run, state, reasons, facts, recorded_at) VALUES (?,?,?,?,?)",
        (run, state, json.dumps(list(reasons)), facts, time.time()),
    )


def add(
    connection: apsw.Connection, run: int, *, edges: Iterable[Edge] = (), processes: Iterable[ProcessRow] = ()
) -> None:
    """A part of what a run used."""
    connection.executemany(
        "INSERT INTO edge (run, version, modes, first_use_ns)"
        f" SELECT ?1, v.number, ?3 | {_foreign('?3', 'v.made_by')}, ?4"
        " FROM version v JOIN resource r ON r.id = v.resource WHERE v.number = ?2 ON CONFLICT DO UPDATE SET"
        " modes = modes | excluded.modes, first_use_ns = min(first_use_ns, excluded.first_use_ns)",
        ((run, edge.version, edge.modes, edge.first_use_ns) for edge in edges),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO process (run, pid, started_ns, parent, executable, status) VALUES (?,?,?,?,?,?)",
        ((run, p.pid, p.started_ns, p.parent, p.executable, p.status) for p in processes),
    )


def judge_again(connection: apsw.Connection, resource: str) -> None:
    """The role of a resource is another now: walks heed that from now on."""
    connection.execute(
        f"UPDATE edge SET modes = modes & ~{FOREIGN} | (SELECT {_foreign('edge.modes', 'v.made_by')}"
        " FROM version v JOIN resource r ON r.id = v.resource WHERE v.number = edge.version)"
        " WHERE version IN (SELECT number FROM version WHERE resource = ?1)",
        (resource,),
    )


def forget(connection: apsw.Connection, runs: Sequence[int]) -> None:
    """Delete all that is known of runs; the versions that they used stay."""
    for table in ("edge", "lineage", "process"):
        connection.executemany(f"DELETE FROM {table} WHERE run = ?", [(run,) for run in runs])


class Lineage:
    """Questions about what is committed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_run(self, run: int) -> LineageRow | None:
        """How much of a run is known; None: nothing was recorded (yet)."""
        rows = self._database.read("SELECT run, state, reasons, facts, recorded_at FROM lineage WHERE run = ?", (run,))
        return next((LineageRow(id_, state, tuple(json.loads(why)), *rest) for id_, state, why, *rest in rows), None)

    def states(self, runs: Iterable[int]) -> dict[int, tuple[str, tuple[str, ...]]]:
        """How much of runs is known, and why not all."""
        rows = self._database.read(
            "SELECT run, state, reasons FROM json_each(?) CROSS JOIN lineage ON run = value", (json.dumps(list(runs)),)
        )
        return {run: (state, tuple(json.loads(reasons))) for run, state, reasons in rows}

    def facts(self, run: int) -> dict[str, Any]:
        """What a run remembers beside its files."""
        row = self.of_run(run)
        facts: dict[str, Any] = json.loads(row.facts) if row else {}
        return facts

    def processes(self, run: int) -> list[ProcessRow]:
        """The processes of a run, in the order in which they were seen."""
        rows = self._database.read(
            "SELECT run, pid, started_ns, parent, executable, status FROM process WHERE run = ? ORDER BY started_ns",
            (run,),
        )
        return [ProcessRow(*row) for row in rows]

    def edges_of_run(self, run: int) -> list[Edge]:
        """What a run used, in the order of first use."""
        rows = self._database.read(f"SELECT {_EDGE} FROM edge WHERE run = ? ORDER BY first_use_ns, version", (run,))
        return [Edge(*row) for row in rows]

    def edges_of_version(self, version: int, *, limit: int = 1000) -> list[Edge]:
        """The first runs that used a version."""
        rows = self._database.read(f"SELECT {_EDGE} FROM edge WHERE version = ? ORDER BY run LIMIT ?", (version, limit))
        return [Edge(*row) for row in rows]

    def runs_that_wrote(self, version: int) -> list[int]:
        """The runs after which a file had this content, be it for the first time or again."""
        return [
            run
            for (run,) in self._database.read(
                "SELECT run FROM edge WHERE version = ? AND modes & ? ORDER BY run", (version, WRITE)
            )
        ]

    def inputs_of(self, version: int) -> list[tuple[int, bool, float]]:
        """What the run that made a version read: (number, whether it is still the newest of its file, seen at).

        Only what is the projects' own, and data and models from anywhere: not the machine's libraries.
        """
        rows = self._database.read(
            "SELECT i.number, i.number = (SELECT max(n.number) FROM version n WHERE n.resource = i.resource),"
            " i.seen_at FROM version v JOIN edge e ON e.run = v.made_by JOIN version i ON i.number = e.version"
            " WHERE v.number = ?1 AND e.modes < ?2 AND e.modes & ?3 AND i.made_by IS NOT v.made_by"
            " ORDER BY e.first_use_ns, i.number",
            (version, FOREIGN, USED),
        )
        return [(number, bool(current), seen_at) for number, current, seen_at in rows]

    def upstream(self, versions: Iterable[int], *, runs: Iterable[int] = (), bounds: Bounds) -> Closure:
        """Back to what versions were made from, and what `runs` read."""
        return closure.upstream(self._database, versions, runs, bounds)

    def downstream(self, versions: Iterable[int], *, runs: Iterable[int] = (), bounds: Bounds) -> Closure:
        """On to what was made of versions, and what `runs` wrote."""
        return closure.downstream(self._database, versions, runs, bounds)

    def describe(self, versions: Iterable[int]) -> dict[int, Described]:
        """Those of these versions that there are, by number."""
        return described.versions(self._database, versions)

    def at_path(self, project: str, path: str) -> Described | None:
        """The newest version of the resource with this path in a project."""
        return described.at_path(self._database, project, path)

    def below(self, project: str, folder: str, *, limit: int) -> list[Described]:
        """The newest versions of the resources below a folder of a project."""
        return described.below(self._database, project, folder, limit=limit)

    def elsewhere(self) -> list[tuple[str, int]]:
        """(id, owner) of the projects of all files that are in none."""
        return [(id_, owner) for id_, owner in self._database.read("SELECT id, owner FROM project WHERE name = '-'")]

    def table_id(self) -> str:
        """A UUID for this metadata table: it has the moment of its making wherever it is copied to."""
        [(made_at,)] = self._database.read("SELECT min(applied_at) FROM schema_info")
        return str(uuid5(_TABLES, repr(made_at)))

    def parents(self, runs: Iterable[int]) -> dict[int, int]:
        """For those of these runs that a job submitted, which one: it was in their environment."""
        # No look at all of the JSON, which may be long. A quote within a string of it has a backslash.
        rows = self._database.read(
            "SELECT run, substr(facts, instr(facts, ?2) + length(?2), 20) FROM json_each(?1) CROSS JOIN lineage"
            " ON run = value WHERE instr(facts, ?2)",
            (json.dumps(list(runs)), '"MLOSD_JOB_ID": "'),
        )
        found = ((run, text.partition('"')[0]) for run, text in rows)
        return {run: int(parent) for run, parent in found if parent.isascii() and parent.isdigit()}

    def correct(self, resource: str, role: str) -> "asyncio.Future[None]":
        """The user says what a file is for, for good."""

        def work(connection: apsw.Connection) -> None:
            connection.execute("UPDATE resource SET role = ?, role_by = 'corrected' WHERE id = ?", (role, resource))
            judge_again(connection, resource)

        return self._database.write_many(work)
