"""Lineage for callers: whose it is, what a name means, and the graph, the facts and the differences as views."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from mlosd.core.errors import BadRequest, NotFound
from mlosd.core.own_thread import in_own_thread
from mlosd.lineage import graph, rerun
from mlosd.lineage.diff import Manifest, differences, files, same_outputs
from mlosd.lineage.facts import Facts, from_json
from mlosd.lineage.names import MayTouch, Meant, Names
from mlosd.store.lineage import WRITE, Bounds, Closure, Lineage
from mlosd.store.projects import ELSEWHERE

View = dict[str, Any]
Kind = Literal["job", "model", "file", "dataset"]
Direction = Literal["up", "down", "both"]

ROLES = ("code", "component", "config", "dataset", "library", "model", "temporary")
LIMIT, MOST = 2000, 20_000
DEEPEST = 10_000
MOST_PROCESSES = 10_000
LOOK_SECONDS = 10.0
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about the graph; see the method Of."""

    kind: Kind
    name: str
    direction: Direction
    project: str | None = None
    depth: int | None = None
    limit: int | None = None
    libraries: bool = False


class CaughtUp(Protocol):
    """Waits until what has happened is recorded."""

    async def __call__(self, *, patience: float) -> None: ...


class LineageService:
    """`show_job` gives a job as io.mlosd.Jobs shows it, and raises NotFound for one that is not the asker's.

    `settled` waits until all is recorded of a run that has ended, `caught_up` for all such runs, but only so long;
    `look_again` until the rows of a project are true.
    """

    def __init__(
        self,
        *,
        lineage: Lineage,
        names: Names,
        show_job: Callable[[int, MayTouch], View],
        settled: Callable[[int], Awaitable[None]],
        caught_up: CaughtUp,
        look_again: Callable[[str], "asyncio.Task[Any]"],
    ) -> None:
        self._lineage = lineage
        self._names = names
        self._show_job = show_job
        self._settled = settled
        self._caught_up = caught_up
        self._look_again = look_again

    async def of(self, asked: Asked, may_touch: MayTouch) -> View:
        """The graph around something. Raises NotFound, with the same words for what is somebody else's."""
        bounds = _bounds(asked)
        if asked.kind == "job":
            run = _job_number(asked.name)
            await self._settle(run, self._show_job(run, may_touch))
        else:
            await self._caught_up(patience=LOOK_SECONDS)
        meant = self._meant(asked, may_touch)
        found = self._walk(asked.direction, meant, bounds)
        rows = self._lineage.describe(dict.fromkeys(number for closure in found for number in closure.versions))
        versions = {number: row for number, row in rows.items() if may_touch(row.owner)}
        runs = dict.fromkeys(run for closure in found for run in closure.runs)
        jobs = {}
        for run in runs:
            if (job := self._mine(run, may_touch)) is not None:
                jobs[run] = job
            if not run % AT_ONCE:
                await asyncio.sleep(0)
        return graph.graph(
            meant,
            found,
            table=self._lineage.table_id(),
            versions=versions,
            jobs=jobs,
            states=self._lineage.states(jobs),
            parents=self._lineage.parents(jobs),
        )

    async def facts(self, run: int, may_touch: MayTouch) -> View:
        """What a run remembers beside its files."""
        job = self._show_job(run, may_touch)
        await self._settle(run, job)
        remembered = self._remembered(run, job)
        processes = self._lineage.processes(run)[:MOST_PROCESSES]
        return asdict(remembered) | {"processes": [_process(asdict(process)) for process in processes]}

    async def diff(self, a: int, b: int, may_touch: MayTouch) -> tuple[list[View], int, list[str]]:
        """What differs between two runs, how many outputs do not, and what may be missing in this."""
        jobs = [self._show_job(run, may_touch) for run in (a, b)]
        for run, job in zip((a, b), jobs, strict=True):
            await self._settle(run, job)
        one, other = (self._manifest(run, job) for run, job in zip((a, b), jobs, strict=True))
        reasons, states = [], self._lineage.states((a, b))
        for run, job in zip((a, b), jobs, strict=True):
            state, why = graph.known(job, states.get(run))
            if state != "complete":
                reasons.append(f"lineage of job {run} is {state}: {'; '.join(why) or 'it is not done'}")
        return [asdict(d) for d in differences(one, other)], same_outputs(one, other), reasons

    async def changed(self, run: int, may_touch: MayTouch) -> list[View]:
        """The inputs of a run that are not any more what they were, as far as one can tell soon."""
        await self._settle(run, self._show_job(run, may_touch))
        edges = [edge for edge in self._lineage.edges_of_run(run) if not edge.modes & WRITE]
        found = rerun.inputs(edges, self._lineage.describe(edge.version for edge in edges))
        found = [row for row in found if row.made_by != run]
        if projects := {row.project for row in found if row.project_name != ELSEWHERE}:
            await asyncio.wait([self._look_again(project) for project in projects], timeout=LOOK_SECONDS)
        current = self._lineage.describe(row.number for row in found)
        newest = self._lineage.describe(row.newest for row in current.values())
        different = rerun.changed(current.values(), newest)
        unwatched = rerun.unwatched(newest.values())
        with suppress(TimeoutError):
            different += await asyncio.wait_for(in_own_thread(lambda: rerun.looked_at(unwatched)), LOOK_SECONDS)
        return [
            {"then": graph.version(one.then), "now": graph.version(one.now) if one.now else None} for one in different
        ]

    async def correct(self, path: str, role: str, project: str | None, may_touch: MayTouch) -> None:
        """The user says what a file is for, for good. Raises BadRequest, NotFound."""
        if role not in ROLES:
            raise BadRequest(f"there is no role {role!r}", hint=f"one of: {', '.join(ROLES)}")
        meant = self._names.file(path, project, may_touch)
        for row in self._lineage.describe(meant.versions).values():
            await self._lineage.correct(row.resource, role)

    def _meant(self, asked: Asked, may_touch: MayTouch) -> Meant:
        match asked.kind:
            case "job":
                return Meant(run=_job_number(asked.name))
            case "model":
                return self._names.model(asked.name, asked.project, may_touch)
            case "file":
                return self._names.file(asked.name, asked.project, may_touch)
            case "dataset":
                return self._names.dataset(asked.name, asked.project, may_touch)

    def _walk(self, direction: Direction, meant: Meant, bounds: Bounds) -> list[Closure]:
        runs = () if meant.run is None else (meant.run,)
        found = []
        if direction in ("up", "both"):
            found.append(self._lineage.upstream(meant.versions, runs=runs, bounds=bounds))
        if direction in ("down", "both"):
            found.append(self._lineage.downstream(meant.versions, runs=runs, bounds=bounds))
        return found

    async def _settle(self, run: int, job: View) -> None:
        if job["state"] == "DONE":
            await self._settled(run)

    def _mine(self, run: int, may_touch: MayTouch) -> View | None:
        try:
            return self._show_job(run, may_touch)
        except NotFound:
            return None

    def _remembered(self, run: int, job: View) -> Facts:
        row = self._lineage.of_run(run)
        known = from_json(row.facts) if row else Facts()
        return known if known.argv else Facts(argv=tuple(job["argv"]), notes=("nothing was recorded",))

    def _manifest(self, run: int, job: View) -> Manifest:
        edges = self._lineage.edges_of_run(run)
        inputs, outputs = files(edges, self._lineage.describe(edge.version for edge in edges))
        remembered = self._remembered(run, job)
        return Manifest(tuple(job["argv"]), job["cwd"], job["result"], remembered, inputs, outputs)


def _bounds(asked: Asked) -> Bounds:
    depth, limit = asked.depth, asked.limit
    if depth is not None and not 1 <= depth <= DEEPEST:
        raise BadRequest(f"the depth: {depth} is not between 1 and {DEEPEST}")
    if limit is not None and not 1 <= limit <= MOST:
        raise BadRequest(f"the limit: {limit} is not between 1 and {MOST}")
    return Bounds(depth=depth, limit=limit or LIMIT, libraries=asked.libraries)


def _job_number(text: str) -> int:
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise BadRequest(f"{text!r} is not a job id", hint="ids are numbers; mlosctl job list shows them")
    return int(digits)


def _process(row: View) -> View:
    executable = row["executable"]
    return {
        "pid": row["pid"],
        "parent": row["parent"],
        "executable": executable.decode("utf-8", "surrogateescape") if executable is not None else None,
        "started_ns": row["started_ns"],
        "status": row["status"],
    }
