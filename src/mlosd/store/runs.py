"""Runs in the metadata table: one row per job that was ever submitted."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import apsw

from mlosd.store import lineage
from mlosd.store.db import Database

_COLUMNS = "id, project, uid, env, priority, state, result, submitted_at, ended_at, boot, request, outcome"

IMPORTED = "imported"
"""What a run has for a boot id that was not of this machine."""


@dataclass(frozen=True, slots=True)
class Run:
    """A row. `request` and `outcome` are JSON; times are seconds since the epoch."""

    id: int
    project: str | None
    uid: int
    env: str
    priority: int
    state: str
    result: str | None
    submitted_at: float
    ended_at: float | None
    boot: str
    request: str
    outcome: str


class Runs:
    """The run table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        last = database.read("SELECT seq FROM sqlite_sequence WHERE name = 'run'")
        self._ids = itertools.count(last[0][0] + 1 if last else 1)

    def new_id(self) -> int:
        """The next id. An id whose insert failed is never used again."""
        return next(self._ids)

    def pass_over(self, id_: int) -> None:
        """Go on above this id."""
        self._ids = itertools.count(max(next(self._ids), id_ + 1))

    def insert(self, runs: Sequence[Run], *, first: Callable[[], None]) -> "asyncio.Future[None]":
        """Add runs; done when they are durable. `first` is done before, in the same transaction."""
        rows = [_values(run) for run in runs]

        def work(connection: apsw.Connection) -> None:
            first()
            connection.executemany(f"INSERT INTO run ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)

        return self._database.write(work)

    def save(self, runs: Sequence[Run]) -> "asyncio.Future[None]":
        """Record the states of runs; done when they are durable. What was asked never changes."""
        rows = [(run.state, run.result, run.ended_at, run.boot, run.outcome, run.id) for run in runs]

        def work(connection: apsw.Connection) -> None:
            connection.executemany(
                "UPDATE run SET state = ?, result = ?, ended_at = ?, boot = ?, outcome = ? WHERE id = ?", rows
            )

        return self._database.write(work)

    def unfinished(self) -> Iterator[Run]:
        """Every run that is not DONE, oldest first."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM run WHERE state <> 'DONE' ORDER BY id")
        return (Run(*row) for row in rows)

    def get(self, id_: int) -> Run | None:
        """One run, or None."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM run WHERE id = ?", (id_,))
        return Run(*rows[0]) if rows else None

    def newest(self, *, limit: int, uid: int | None = None) -> list[Run]:
        """The last runs, newest first; of one user when `uid` is given."""
        where = "" if uid is None else "WHERE uid = ?"
        bindings = (limit,) if uid is None else (uid, limit)
        return [
            Run(*row)
            for row in self._database.read(f"SELECT {_COLUMNS} FROM run {where} ORDER BY id DESC LIMIT ?", bindings)
        ]

    def counts(self) -> dict[str, int]:
        """How many runs there are in each state."""
        return dict(self._database.read("SELECT state, count(*) FROM run GROUP BY state"))

    def forget_oldest(self, *, keep: int) -> "asyncio.Future[list[int]]":
        """Delete finished runs beyond the newest `keep`, and their lineage; done with their ids.

        Those that were imported do not count; those that made a version which is in the table, or that a model needs,
        stay.
        """

        def work(connection: apsw.Connection) -> list[int]:
            rows = connection.execute(
                "DELETE FROM run WHERE id IN"
                " (SELECT id FROM run WHERE state = 'DONE' AND boot <> ?3 ORDER BY id DESC LIMIT -1 OFFSET ?1)"
                " AND NOT EXISTS (SELECT 1 FROM version v WHERE v.made_by = run.id)"
                " AND NOT EXISTS (SELECT 1 FROM edge e JOIN model_version m ON m.version = e.version"
                " WHERE e.run = run.id AND e.modes & ?2 AND m.pruned_at IS NULL)"
                " RETURNING id",
                (keep, lineage.WRITE, IMPORTED),
            )
            forgotten = [id_ for (id_,) in rows]
            lineage.forget(connection, forgotten)
            return forgotten

        return self._database.write_many(work)


def _values(run: Run) -> tuple[object, ...]:
    return (
        run.id,
        run.project,
        run.uid,
        run.env,
        run.priority,
        run.state,
        run.result,
        run.submitted_at,
        run.ended_at,
        run.boot,
        run.request,
        run.outcome,
    )
