"""The walk from versions to the runs that made or used them, and on.

Upstream of a version is the run that made it, what that run read, the runs that made that, and so on; downstream is the
same the other way. A version that no run made is a leaf, so that a walk never wanders through shared libraries.

Breadth first, a query for each level: as fast as a recursive CTE, and it can stop (bench/closure.py). Numbers go into a
query as one JSON array: one statement for any number of them.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlosd.store.db import Database

READ, WRITE, EXEC = 1, 2, 4
USED = READ | EXEC
# In the table only: the file is nobody's work. Nine of ten edges are of this kind, and SQLite passes over them.
FOREIGN = 8


@dataclass(frozen=True, slots=True)
class Edge:
    """A run used a version: READ, WRITE and EXEC in `modes`, first at `first_use_ns` after it began."""

    run: int
    version: int
    modes: int
    first_use_ns: int


@dataclass(frozen=True, slots=True)
class Closure:
    """What a walk found, nearest first. `left_out`: for each run, how many of its versions are not in it."""

    runs: tuple[int, ...]
    versions: tuple[int, ...]
    edges: tuple[Edge, ...]
    left_out: Mapping[int, int]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a walk goes: `depth` runs, `limit` nodes. `libraries`: also over files that are nobody's own work."""

    depth: int | None = None
    limit: int = 2000
    libraries: bool = False


def upstream(database: Database, versions: Iterable[int], runs: Iterable[int], bounds: Bounds) -> Closure:
    """Back to what `versions` were made from and what `runs` read."""
    walk = _Walk(database, USED, bounds)
    return walk.walk(versions, runs, onward=walk.makers)


def downstream(database: Database, versions: Iterable[int], runs: Iterable[int], bounds: Bounds) -> Closure:
    """On to what was made of `versions` and what `runs` wrote."""
    walk = _Walk(database, WRITE, bounds)
    return walk.walk(versions, runs, onward=walk.readers)


class _Walk:
    """A step goes from runs to the versions that they used in one of `modes`, `onward` from there to other runs."""

    def __init__(self, database: Database, modes: int, bounds: Bounds) -> None:
        self._database = database
        self._modes = modes
        self._bounds = bounds
        self._runs: dict[int, None] = {}
        self._made_by: dict[int, int | None] = {}
        self._starts = "[]"
        self._rows: list[tuple[int, int, int, int]] = []
        self._truncated = False

    def walk(
        self, versions: Iterable[int], runs: Iterable[int], *, onward: Callable[[Iterable[int]], list[int]]
    ) -> Closure:
        """From these until nothing is new."""
        self._made_by.update(self._makers_of(versions))
        self._starts = json.dumps(list(self._made_by))
        front, level = self._reach([*runs, *onward(self._made_by)]), 0
        while front:
            new, level = self._step(front), level + 1
            front = self._reach(onward(new)) if self._bounds.depth is None or level < self._bounds.depth else []
        edges = tuple(Edge(*row) for row in self._rows if row[1] in self._made_by)
        return Closure(tuple(self._runs), tuple(self._made_by), edges, self._left_out(), self._truncated)

    def makers(self, versions: Iterable[int]) -> list[int]:
        """The runs that made versions."""
        return [run for number in versions if (run := self._made_by[number]) is not None]

    def readers(self, versions: Iterable[int]) -> list[int]:
        """The runs that used versions that they had not made, oldest first; hardly more than there is room for."""
        rows = self._database.read(
            "SELECT DISTINCT e.run FROM json_each(?1) CROSS JOIN edge e ON e.version = value"
            " JOIN version v ON v.number = e.version WHERE e.modes & ?2 AND v.made_by IS NOT e.run LIMIT ?3",
            (json.dumps(list(versions)), USED, self._room() + len(self._runs) + 1),
        )
        return sorted(run for (run,) in rows)

    def _step(self, runs: Sequence[int]) -> list[int]:
        """What `runs` used becomes part of the walk; the versions that are new."""
        rows = self._database.read(
            "SELECT run, version, modes & ~?4, first_use_ns FROM json_each(?1) CROSS JOIN edge ON run = value"
            " WHERE modes < ?2 OR version IN (SELECT value FROM json_each(?3))",
            (json.dumps(runs), 2 * FOREIGN if self._bounds.libraries else FOREIGN, self._starts, FOREIGN),
        )
        self._rows += rows
        used = [(run, number) for run, number, modes, _ in rows if modes & self._modes]
        made_by = self._makers_of(number for _, number in used if number not in self._made_by)
        new = dict.fromkeys(
            number
            for run, number in used
            # What a run reads after it has made it is no input.
            if number in made_by and (self._modes == WRITE or made_by[number] != run)
        )
        fitting = self._fitting(list(new))
        self._made_by.update((number, made_by[number]) for number in fitting)
        return fitting

    def _reach(self, runs: Iterable[int]) -> list[int]:
        """Those of `runs` that are new, and fit."""
        fitting = self._fitting([run for run in dict.fromkeys(runs) if run not in self._runs])
        self._runs.update(dict.fromkeys(fitting))
        return fitting

    def _fitting(self, new: list[int]) -> list[int]:
        room = self._room()
        self._truncated = self._truncated or len(new) > room
        return new[:room]

    def _room(self) -> int:
        return max(0, self._bounds.limit - len(self._made_by) - len(self._runs))

    def _makers_of(self, versions: Iterable[int]) -> dict[int, int | None]:
        rows = self._database.read(
            "SELECT number, made_by FROM json_each(?) CROSS JOIN version ON number = value",
            (json.dumps(list(dict.fromkeys(versions))),),
        )
        return dict(rows)

    def _left_out(self) -> dict[int, int]:
        if self._bounds.libraries:
            return {}
        rows = self._database.read(
            "SELECT value, (SELECT count(*) FROM edge WHERE run = value AND modes >= ?2) FROM json_each(?1)",
            (json.dumps(list(self._runs)), FOREIGN),
        )
        return {run: count for run, count in rows if count}
