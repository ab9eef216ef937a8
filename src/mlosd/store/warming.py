"""What to warm of a project, in which order, and what warming was worth."""

import asyncio
import os
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import apsw

from mlosd.store.db import Database
from mlosd.store.lineage import EXEC, READ
from mlosd.store.projects import ProjectRow

Kind = Literal["cold", "warm"]
Row = tuple[str, int, bytes, bytes, bytes]
"""File system, handle type, handle, root of its project, path below that. A tuple: an open must not make 10,000
objects before it begins."""

PAIRS_THAT_DECIDE = 5
WORTH_IT = 0.05
_REMEMBERED = 100
_RECENT_RUNS = 50

_BOUND = (
    " JOIN binding b ON b.resource = r.id AND b.valid_to IS NULL JOIN object o ON o.id = b.object"
    " WHERE r.role <> 'root' AND "
)
_OF_RUN = (
    "FROM edge e JOIN version v ON v.number = e.version JOIN resource r ON r.id = v.resource"
    f" JOIN project p ON p.id = r.project {_BOUND} e.run = ?"
)
_COLUMNS = "o.filesystem, o.handle_type, o.handle"


@dataclass(frozen=True, slots=True)
class Plan:
    """`used`: what `run`, the project's last, read and executed, by first use, perhaps a file twice; `rest`: the
    other resources of the project.
    """

    run: int | None
    used: Sequence[Row]
    rest: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Gain:
    """What warming was measured to save: `seconds` of waiting for storage, and as a `share` of the cold wait.

    `pairs`: how many cold runs have a warm one beside them.
    """

    pairs: int
    seconds: float
    share: float

    @property
    def is_worth_it(self) -> bool:
        """Whether a project should still be warmed: until enough was measured, it should."""
        return self.pairs < PAIRS_THAT_DECIDE or self.share >= WORTH_IT


def gain(cold: Iterable[float], warm: Iterable[float]) -> Gain | None:
    """The difference of the medians; None where one side was never measured."""
    colds, warms = list(cold), list(warm)
    if not colds or not warms:
        return None
    before = statistics.median(colds)
    saved = before - statistics.median(warms)
    return Gain(min(len(colds), len(warms)), saved, saved / before if before > 0 else 0.0)


class Warming:
    """Plans, kept in memory while nothing has changed, and the table `warming`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._plans: dict[str, tuple[object, Plan]] = {}

    def plan(self, project: ProjectRow) -> Plan:
        """What to warm. The last plan is given again until a file or a run was recorded."""
        now = self._state()
        known = self._plans.get(project.id)
        if known is None or known[0] != now:
            # One project is worked on at a time; the memory of the others is not worth it.
            known = (now, self._made(project))
            self._plans = {project.id: known}
        return known[1]

    def largest(self, project: str, *, most: int) -> list[Row]:
        """The largest files that the last run of the project read: nearly all of its bytes, in a few files."""
        run = self._last_run(project)
        if run is None:
            return []
        return self._database.read(
            f"SELECT {_COLUMNS}, CAST(p.root AS BLOB), CAST(r.path AS BLOB) {_OF_RUN} AND e.modes & ?"
            " ORDER BY v.size DESC LIMIT ?",
            (run, READ | EXEC, most),
        )

    def record(self, project: str, kind: Kind, *, bytes_: int, seconds: float) -> "asyncio.Future[None]":
        """Remember how long a run waited for its files, of which it found nearly nothing or nearly all in memory."""

        def work(connection: apsw.Connection) -> None:
            connection.execute(
                "INSERT INTO warming (project, at, kind, bytes, seconds) VALUES (?,?,?,?,?)",
                (project, time.time(), kind, bytes_, seconds),
            )
            connection.execute(
                "DELETE FROM warming WHERE project = ?1 AND id <="
                " (SELECT id FROM warming WHERE project = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (project, _REMEMBERED),
            )

        return self._database.write(work)

    def gain(self, project: str) -> Gain | None:
        """What warming the project was measured to save, if it was."""
        rows = self._database.read("SELECT kind, seconds FROM warming WHERE project = ?", (project,))
        return gain((s for kind, s in rows if kind == "cold"), (s for kind, s in rows if kind == "warm"))

    def _state(self) -> object:
        """Changes with every file that is bound and every run that is recorded; costs no look at either."""
        return self._database.read(
            "SELECT (SELECT max(id) FROM binding), (SELECT max(rowid) FROM resource), (SELECT max(run) FROM lineage),"
            " (SELECT count(*) FROM lineage)"
        )

    def _made(self, project: ProjectRow) -> Plan:
        run = self._last_run(project.id)
        used: list[Row] = []
        if run is not None:
            used = self._database.read(
                f"SELECT {_COLUMNS}, CAST(p.root AS BLOB), CAST(r.path AS BLOB) {_OF_RUN} AND e.modes & ?"
                " ORDER BY e.first_use_ns",
                (run, READ | EXEC),
            )
        rest: list[Row] = self._database.read(
            f"SELECT {_COLUMNS}, ?2, CAST(r.path AS BLOB) FROM resource r {_BOUND} r.project = ?1 AND r.id NOT IN"
            " (SELECT v.resource FROM edge e JOIN version v ON v.number = e.version WHERE e.run = ?3 AND e.modes & ?4)",
            (project.id, os.fsencode(project.root), run, READ | EXEC),
        )
        return Plan(run, used, rest)

    def _last_run(self, project: str) -> int | None:
        """The last run of the project whose files are known; or else the last that used a file of the project."""
        rows = self._database.read(
            "SELECT id FROM (SELECT id FROM run WHERE project = ? AND state = 'DONE' ORDER BY id DESC LIMIT ?) AS r"
            " WHERE EXISTS (SELECT 1 FROM edge WHERE run = r.id) ORDER BY id DESC LIMIT 1",
            (project, _RECENT_RUNS),
        ) or self._database.read(
            "SELECT max(e.run) FROM resource r JOIN version v ON v.resource = r.id JOIN edge e ON e.version = v.number"
            " WHERE r.project = ?",
            (project,),
        )
        return rows[0][0] if rows else None
