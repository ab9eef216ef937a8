"""What runs used, and the walk from one to the next, on graphs small enough to draw."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.fakes.jobs import job

from mlosd.jobs import records
from mlosd.jobs.state import Done
from mlosd.store import lineage
from mlosd.store.db import Database
from mlosd.store.lineage import EXEC, READ, WRITE, Bounds, Closure, Edge, Lineage, ProcessRow
from mlosd.store.runs import Runs

RAW, CLEAN, MODEL, REPORT, PYTHON = 1, 2, 3, 4, 5
PREPARE, TRAIN, EVALUATE = 1, 2, 3


class Table:
    """A database with files as resources, a version each unless more are added."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self.lineage = Lineage(self.database)
        self._versions = 0
        self.write(
            "INSERT INTO project VALUES ('p', 'flights', '/p', 0, 'dev', 0, NULL), ('o', '-', '/', 0, 'dev', 0, NULL)"
        )
        self.write("INSERT INTO object VALUES (1, 'fs', 1, x'00', 1, 0, NULL)")

    def write(self, sql: str, bindings: tuple[object, ...] = ()) -> None:
        with apsw.Connection(str(self.database.path)) as connection:
            connection.execute(sql, bindings)

    def version(self, path: str, role: str = "dataset", *, made_by: int | None = None, project: str = "p") -> int:
        self._versions += 1
        self.write(
            "INSERT OR IGNORE INTO resource (id, project, role, path, added_at) VALUES (?, ?, ?, ?, 0)",
            (path, project, role, path),
        )
        self.write(
            "INSERT INTO version (id, resource, object, size, mtime_ns, ctime_ns, made_by, seen_at, number)"
            " VALUES (?, ?, 1, 0, 0, 0, ?, ?, ?)",
            (str(self._versions), path, made_by, float(self._versions), self._versions),
        )
        return self._versions

    def used(self, run: int, modes: dict[int, int], *, state: str = "complete") -> None:
        edges = [Edge(run, version, mode, order) for order, (version, mode) in enumerate(modes.items())]
        with apsw.Connection(str(self.database.path)) as connection:
            lineage.record(connection, run, state=state, reasons=(), facts="{}", edges=edges, processes=())

    def up(self, *versions: int, runs: tuple[int, ...] = (), **bounds: Any) -> Closure:
        return self.lineage.upstream(versions, runs=runs, bounds=Bounds(**bounds))

    def down(self, *versions: int, runs: tuple[int, ...] = (), **bounds: Any) -> Closure:
        return self.lineage.downstream(versions, runs=runs, bounds=Bounds(**bounds))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    """raw -> prepare -> clean -> train -> model -> evaluate -> report; all of them run Python."""
    table = Table(tmp_path / "mlosd.db")
    table.version("raw.csv")
    table.version("clean.csv", made_by=PREPARE)
    table.version("model.onnx", "model", made_by=TRAIN)
    table.version("report.html", "component", made_by=EVALUATE)
    table.version("/usr/bin/python", "library", project="o")
    table.used(PREPARE, {PYTHON: READ | EXEC, RAW: READ, CLEAN: WRITE})
    table.used(TRAIN, {PYTHON: READ | EXEC, CLEAN: READ, MODEL: READ | WRITE})
    table.used(EVALUATE, {PYTHON: READ | EXEC, MODEL: READ, RAW: READ, REPORT: WRITE})
    yield table
    asyncio.run(table.database.close())


def test_upstream_goes_back_to_what_nothing_made(table: Table) -> None:
    found = table.up(MODEL)
    assert found.runs == (TRAIN, PREPARE)
    assert found.versions == (MODEL, CLEAN, RAW)
    assert not found.truncated
    assert {(e.run, e.version): e.modes for e in found.edges} == {
        (TRAIN, MODEL): READ | WRITE,
        (TRAIN, CLEAN): READ,
        (PREPARE, CLEAN): WRITE,
        (PREPARE, RAW): READ,
    }


def test_downstream_goes_on_to_what_nobody_used(table: Table) -> None:
    found = table.down(CLEAN)
    assert found.runs == (TRAIN, EVALUATE)
    assert found.versions == (CLEAN, MODEL, REPORT)


def test_a_walk_may_begin_at_a_run(table: Table) -> None:
    assert table.up(runs=(TRAIN,)).versions == (CLEAN, RAW)
    assert table.down(runs=(TRAIN,)).runs == (TRAIN, EVALUATE)


def test_depth_is_counted_in_runs(table: Table) -> None:
    assert table.up(MODEL, depth=1).runs == (TRAIN,)
    assert table.up(MODEL, depth=1).versions == (MODEL, CLEAN)
    assert table.up(MODEL, depth=2).runs == (TRAIN, PREPARE)
    assert table.down(RAW, depth=1).runs == (PREPARE, EVALUATE)


def test_libraries_are_counted_and_not_walked_through(table: Table) -> None:
    found = table.up(REPORT)
    assert PYTHON not in found.versions
    assert found.left_out == dict.fromkeys((PREPARE, TRAIN, EVALUATE), 1)
    everything = table.up(REPORT, libraries=True)
    assert PYTHON in everything.versions
    assert everything.runs == found.runs


def test_what_a_run_reads_after_it_has_made_it_is_no_input(table: Table) -> None:
    assert MODEL not in table.up(runs=(TRAIN,)).versions
    assert table.lineage.inputs_of(MODEL) == [(CLEAN, True, 2.0)]
    assert TRAIN not in table.down(MODEL).runs


def test_an_edge_to_what_is_found_later_is_there_all_the_same(table: Table) -> None:
    # evaluate read raw.csv before anything; train, found first, wrote the notes that another run read.
    notes = table.version("notes.json", "component", made_by=TRAIN)
    table.used(TRAIN, {CLEAN: READ, MODEL: WRITE, notes: WRITE})
    other = table.version("other.json", "component", made_by=4)
    table.used(4, {notes: READ, other: WRITE})
    table.used(5, {MODEL: READ, other: READ})
    edges = {(edge.run, edge.version) for edge in table.up(runs=(5,)).edges}
    assert (TRAIN, notes) in edges
    assert (TRAIN, MODEL) in edges


def test_a_walk_through_a_shared_library_ends_at_its_limit_and_says_so(table: Table) -> None:
    for run in range(10, 60):
        table.used(run, {PYTHON: READ})
    found = table.down(PYTHON, limit=20)
    assert found.truncated
    assert len(found.runs) + len(found.versions) == 20


def test_a_cycle_of_contents_ends(table: Table) -> None:
    # Two runs that each read what the other wrote: a file that went back to an earlier content.
    a = table.version("a", made_by=7)
    b = table.version("b", made_by=8)
    table.used(7, {b: READ, a: WRITE})
    table.used(8, {a: READ, b: WRITE})
    assert set(table.up(a).versions) == {a, b} == set(table.down(a).versions)


def test_inputs_are_told_with_whether_they_are_still_the_newest(table: Table) -> None:
    table.version("clean.csv")
    assert table.lineage.inputs_of(MODEL) == [(CLEAN, False, 2.0)]
    assert table.lineage.inputs_of(RAW) == []


def test_a_run_that_wrote_the_same_content_again_is_known(table: Table) -> None:
    table.used(9, {CLEAN: READ, MODEL: WRITE})
    assert table.lineage.runs_that_wrote(MODEL) == [TRAIN, 9]
    assert table.up(MODEL).runs == (TRAIN, PREPARE)
    assert MODEL in table.down(runs=(9,)).versions


def test_a_run_recorded_again_is_replaced(table: Table) -> None:
    processes = [ProcessRow(TRAIN, 77, 5, 1, b"/bin/\xff", 0)]
    for state, reasons in (("partial", ("an overflow", "a network file system")), ("complete", ())):
        with apsw.Connection(str(table.database.path)) as connection:
            lineage.record(
                connection,
                TRAIN,
                state=state,
                reasons=reasons,
                facts='{"commit": "abc"}',
                edges=[Edge(TRAIN, RAW, READ, 9), Edge(TRAIN, RAW, WRITE, 4)],
                processes=processes,
            )
        row = table.lineage.of_run(TRAIN)
        assert row is not None
        assert (row.state, row.reasons) == (state, reasons)
    assert table.lineage.edges_of_run(TRAIN) == [Edge(TRAIN, RAW, READ | WRITE, 4)]
    assert table.lineage.processes(TRAIN) == processes
    assert table.lineage.facts(TRAIN) == {"commit": "abc"}


def test_of_a_run_that_was_not_watched_nothing_is_known(table: Table) -> None:
    assert table.lineage.of_run(99) is None
    assert table.lineage.facts(99) == {}
    assert table.up(runs=(99,)).versions == ()


@pytest.mark.parametrize(
    ("role", "project", "own"),
    [
        ("dataset", "p", True),
        ("code", "p", True),
        ("config", "p", True),
        ("library", "p", False),
        ("temporary", "p", False),
        ("dataset", "o", True),
        ("model", "o", True),
        ("code", "o", False),
        ("config", "o", False),
    ],
)
def test_what_is_somebodys_own_work(table: Table, role: str, project: str, own: bool) -> None:
    file = table.version("x", role, project=project)
    table.used(4, {file: READ})
    assert (file in table.up(runs=(4,)).versions) is own
    assert [edge.modes for edge in table.lineage.edges_of_run(4)] == [READ]


def test_a_corrected_role_holds_for_runs_of_the_past(table: Table) -> None:
    weights = table.version("/opt/weights.bin", "library", project="o")
    table.used(4, {weights: READ})
    assert table.up(runs=(4,)).left_out == {4: 1}
    with apsw.Connection(str(table.database.path)) as connection:
        connection.execute("UPDATE resource SET role = 'model' WHERE path = '/opt/weights.bin'")
        lineage.judge_again(connection, "/opt/weights.bin")
    assert table.up(runs=(4,)).versions == (weights,)
    assert table.up(runs=(4,)).left_out == {}


def test_a_walk_may_begin_at_a_library(table: Table) -> None:
    found = table.down(PYTHON)
    assert found.runs == (PREPARE, TRAIN, EVALUATE)
    assert {edge.run for edge in found.edges if edge.version == PYTHON} == {PREPARE, TRAIN, EVALUATE}


def test_a_run_that_made_something_is_not_forgotten(table: Table) -> None:
    async def forget() -> list[int]:
        runs = Runs(table.database)
        done = Done("ok", None, 0, None, None, 1.0, None)
        await runs.insert([records.new_row(replace(job(id_), state=done)) for id_ in range(1, 7)], first=lambda: None)
        return sorted(await runs.forget_oldest(keep=1))

    table.used(4, {RAW: READ})
    table.write("INSERT INTO model (id, project, name, added_at) VALUES ('m', 'p', 'm', 0)")
    table.write("INSERT INTO model_version VALUES ('m', 1, ?, x'00', 'live', 0, 0, NULL)", (MODEL,))
    table.used(5, {MODEL: WRITE})
    assert asyncio.run(forget()) == [4]
    assert table.lineage.edges_of_run(4) == []
    assert table.lineage.of_run(4) is None
    assert table.lineage.edges_of_run(5) != []
