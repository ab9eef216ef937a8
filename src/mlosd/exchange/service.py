"""Exchange for callers: everything out as records, records in, an Arrow snapshot."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import apsw

from mlosd.core import events
from mlosd.core.errors import BadRequest
from mlosd.core.own_thread import in_own_thread
from mlosd.exchange import export
from mlosd.exchange.export import Children
from mlosd.exchange.intake import Intake, IsOurs
from mlosd.exchange.sealed import Sealed
from mlosd.exchange.shelf import Kept, Sequence, Shelf
from mlosd.exchange.trust import Importer, Restored, Trust, trust_in
from mlosd.store.db import Database
from mlosd.store.runs import Runs
from mlosd.store.snapshot import Scope, TableSnapshot

MayTouch = Callable[[int], bool]
View = dict[str, Any]
T = TypeVar("T")

AT_ONCE = 2
"""Exports under way: each keeps the write-ahead log from beginning anew."""


class ExchangeService:
    """`find_project`: the id of a caller's project, by name or id; `children`: of a node of a manifest.

    `is_ours`: what a manifest that is brought must be.
    """

    def __init__(
        self,
        *,
        database: Database,
        runs: Runs,
        shelf: Shelf,
        find_project: Callable[[str, MayTouch], str],
        children: Children,
        is_ours: IsOurs,
        emit: Callable[[events.Event], None],
    ) -> None:
        self._database = database
        self._runs = runs
        self._shelf = shelf
        self._find_project = find_project
        self._children = children
        self._is_ours = is_ours
        self._emit = emit
        self._epoch = time.time_ns()
        self._exports = asyncio.Semaphore(AT_ONCE)
        self._one_at_a_time = asyncio.Lock()
        self._kept: dict[int, Kept] = {}

    async def export(
        self, project: str | None, *, may_touch: MayTouch, may_see_environment: MayTouch
    ) -> AsyncGenerator[View, None]:
        """The caller's rows as records, some in each reply. Raises NotFound."""
        id_ = None if project is None else self._find_project(project, may_touch)
        async with self._exports:
            with TableSnapshot(self._database.path) as snapshot:
                total = await _to_its_end(lambda: self._limit(snapshot, may_touch, id_))
                batches = export.batches(snapshot, may_see_environment)
                while (batch := await _to_its_end(lambda: next(batches, None))) is not None:
                    yield {"records": batch, "total": total}

    def _limit(self, snapshot: TableSnapshot, may_touch: MayTouch, project: str | None) -> int:
        snapshot.limit(_scope(snapshot, may_touch, project))
        export.gather_nodes(snapshot, self._children)
        return export.total(snapshot)

    async def take_in(self, fd: int, importer: Importer, *, into: str | None, may_touch: MayTouch) -> View:
        """Take in the records of a sealed memfd, which is taken over. Raises BadRequest that names the line."""
        with Sealed(fd) as sealed:
            project = None if into is None else self._find_project(into, may_touch)
            source = sealed.header()["source"]
            trust = trust_in(importer, source=source)
            if isinstance(trust, Restored):
                # Numbers that the file brings must not be given to a job meanwhile.
                self._runs.pass_over(await in_own_thread(lambda: _last_run(sealed, trust)))
            intake = await self._database.write_many(
                lambda connection: self._take_all(connection, sealed, trust, source=source, into=project)
            )
        added = sum(intake.added.values())
        self._emit(events.ProjectChanged(into or source, f"{added} rows imported from {source}"))
        return {"added": dict(intake.added), "known": dict(intake.known), "left": dict(intake.left)}

    def _take_all(
        self, connection: apsw.Connection, sealed: Sealed, trust: Trust, *, source: str, into: str | None
    ) -> Intake:
        intake = Intake(
            connection,
            trust,
            source=source,
            into=into,
            new_run=self._runs.new_id,
            is_ours=self._is_ours,
            at=time.time(),
        )
        for line, record in sealed:
            try:
                intake.take(record)
            except (ValueError, OverflowError) as e:
                raise BadRequest(f"line {line}: {e}", hint="nothing was imported") from e
        return intake

    async def snapshot(self, uid: int, gid: int, *, may_touch: MayTouch) -> View:
        """The caller's rows as Arrow IPC files, written now unless nothing was committed since they were."""
        async with self._one_at_a_time:
            [(commit,)] = self._database.read("PRAGMA data_version")
            kept, made = self._kept.get(uid), False
            # Asked before it is written: what it says is at least what it has.
            sequence = Sequence(self._epoch, commit)
            if kept is None or kept.sequence != sequence or not await in_own_thread(kept.path.is_dir):
                kept = await in_own_thread(lambda: self._put(uid, gid, sequence, may_touch))
                self._kept[uid], made = kept, True
        return {"path": str(kept.path), "made": made, "rows": dict(kept.rows), "bytes": kept.bytes}

    def _put(self, uid: int, gid: int, sequence: Sequence, may_touch: MayTouch) -> Kept:
        with TableSnapshot(self._database.path) as snapshot:
            snapshot.limit(_scope(snapshot, may_touch, None))
            return self._shelf.put(snapshot, uid=uid, gid=gid, sequence=sequence)


async def _to_its_end(work: Callable[[], T]) -> T:
    """What `work` returns, from a thread; also when we are cancelled not before it has ended: it uses a connection."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise


def _scope(snapshot: TableSnapshot, may_touch: MayTouch, project: str | None) -> Scope:
    return Scope(frozenset(filter(may_touch, snapshot.owners())), project)


def _last_run(sealed: Sealed, trust: Trust) -> int:
    """The highest number that a run of the file wants."""
    wanted = (trust.number(record["id"]) or 0 for _, record in sealed if record["kind"] == "run")
    return max(wanted, default=0)
