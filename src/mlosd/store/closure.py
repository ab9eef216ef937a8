"""The walk from versions to the runs that made or used them, and on.

Upstream of a version is the run that made it, what that run read, the runs that made that, and so on; downstream is the
same the other way. A version that no run made is a leaf, so that a walk never wanders through shared libraries.

Breadth first, a query for each level: as fast as a recursive CTE, and it can stop (bench/closure.py). Numbers go into a
query as one JSON array: one statement for any number of them.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mlosd.store.db import Database

READ, WRITE, EXEC = 1, 2, 4
USED = READ | EXEC

_Row = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Edge:
    """A run used a version: READ, WRITE and EXEC in `modes`, first at `first_use_ns` after it began."""

    run: int
    version: int
    modes: int
    first_use_ns: int


@dataclass(frozen=True, slots=True)
class Node:
    """A version on a walk: who made it, what it is for, and the project of its resource."""

    number: int
    made_by: int | None
    role: str
    project: str


@dataclass(frozen=True, slots=True)
class Closure:
    """What a walk found, nearest first. `left_out`: for each run how many versions of each role were not wanted."""

    runs: tuple[int, ...]
    versions: tuple[int, ...]
    edges: tuple[Edge, ...]
    left_out: dict[int, dict[str, int]]
    truncated: bool


Wanted = Callable[[Node], bool]


def upstream(
    database: Database, versions: Iterable[int], runs: Iterable[int], *, wanted: Wanted, depth: int | None, limit: int
) -> Closure:
    """Back to what `versions` were made from and what `runs` read; `depth` runs far, `limit` nodes at most."""
    walk = _Walk(database, wanted, modes=USED, limit=limit)
    return walk.walk(versions, runs, onward=walk.makers, depth=depth)


def downstream(
    database: Database, versions: Iterable[int], runs: Iterable[int], *, wanted: Wanted, depth: int | None, limit: int
) -> Closure:
    """On to what was made of `versions` and what `runs` wrote; the bounds are those of `upstream`."""
    walk = _Walk(database, wanted, modes=WRITE, limit=limit)
    return walk.walk(versions, runs, onward=walk.readers, depth=depth)


class _Walk:
    """A step goes from runs to the versions that they used in one of `modes`, `onward` from there to other runs."""

    def __init__(self, database: Database, wanted: Wanted, *, modes: int, limit: int) -> None:
        self._database = database
        self._wanted = wanted
        self._modes = modes
        self._limit = limit
        self._runs: dict[int, None] = {}
        self._versions: dict[int, Node] = {}
        self._unwanted: dict[int, Node] = {}
        self._rows: list[_Row] = []
        self._truncated = False

    def walk(
        self,
        versions: Iterable[int],
        runs: Iterable[int],
        *,
        onward: Callable[[Iterable[int]], list[int]],
        depth: int | None,
    ) -> Closure:
        """From these, wanted or not, until nothing is new."""
        self._versions.update(self._nodes(versions))
        front, level = self._reach([*runs, *onward(self._versions)]), 0
        while front:
            new, level = self._step(front), level + 1
            front = self._reach(onward(new)) if depth is None or level < depth else []
        return self._closure()

    def makers(self, versions: Iterable[int]) -> list[int]:
        """The runs that made versions."""
        return [run for number in versions if (run := self._versions[number].made_by) is not None]

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
        rows: list[_Row] = self._database.read(
            "SELECT run, version, modes, first_use_ns FROM json_each(?) CROSS JOIN edge ON run = value",
            (json.dumps(runs),),
        )
        self._rows += rows
        reached = [(run, number) for run, number, modes, _ in rows if modes & self._modes]
        unknown = dict.fromkeys(number for _, number in reached)
        nodes = self._nodes(n for n in unknown if n not in self._versions and n not in self._unwanted)
        self._unwanted.update((number, node) for number, node in nodes.items() if not self._wanted(node))
        new = dict.fromkeys(
            number
            for run, number in reached
            if number in nodes and number not in self._unwanted and self._counts(run, nodes[number])
        )
        fitting = self._fitting(list(new))
        self._versions.update((number, nodes[number]) for number in fitting)
        return fitting

    def _counts(self, run: int, node: Node) -> bool:
        """Whether the use counts: what a run reads after it has made it is no input."""
        return self._modes == WRITE or node.made_by != run

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
        return max(0, self._limit - len(self._versions) - len(self._runs))

    def _nodes(self, versions: Iterable[int]) -> dict[int, Node]:
        rows = self._database.read(
            "SELECT v.number, v.made_by, r.role, r.project FROM json_each(?) CROSS JOIN version v ON v.number = value"
            " JOIN resource r ON r.id = v.resource",
            (json.dumps(list(versions)),),
        )
        return {row[0]: Node(*row) for row in rows}

    def _closure(self) -> Closure:
        edges, left_out = [], dict[int, dict[str, int]]()
        for run, number, modes, first_use_ns in self._rows:
            if number in self._versions:
                edges.append(Edge(run, number, modes, first_use_ns))
            elif modes & self._modes and (node := self._unwanted.get(number)) and self._counts(run, node):
                roles = left_out.setdefault(run, {})
                roles[node.role] = roles.get(node.role, 0) + 1
        return Closure(tuple(self._runs), tuple(self._versions), tuple(edges), left_out, self._truncated)
