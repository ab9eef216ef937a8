"""Models for callers: look, register, move aliases, roll back, collect. Whose they are is asked here."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mlosd.core import events
from mlosd.core.errors import BadRequest, NotFound, Refused
from mlosd.registry import aliases, names, view
from mlosd.registry.blobs import Blobs
from mlosd.registry.registering import Registering
from mlosd.registry.retention import Retention
from mlosd.registry.rollback import Live, Move, Rollback, path_of
from mlosd.registry.view import Input, View
from mlosd.store.models import AliasRow, ModelRow, Models, ModelVersionRow

T = TypeVar("T")

MayTouch = Callable[[int], bool]
InputsOf = Callable[[int], Sequence[tuple[int, bool, float]]]
"""What a version was made from: (version, whether its file is still so, when it was first seen so)."""

LARGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and why."""

    uid: int
    reason: str

    def __post_init__(self) -> None:
        if len(self.reason) > LARGEST_REASON:
            raise BadRequest(f"a reason has at most {LARGEST_REASON} characters")


class ModelService:
    """`user_name` turns a uid into a name."""

    def __init__(
        self,
        *,
        models: Models,
        blobs: Blobs,
        registering: Registering,
        rollback: Rollback,
        retention: Retention,
        inputs_of: InputsOf,
        user_name: Callable[[int], str],
        emit: Callable[[events.Event], None],
    ) -> None:
        self._models = models
        self._blobs = blobs
        self._registering = registering
        self._rollback = rollback
        self._retention = retention
        self._inputs_of = inputs_of
        self._user_name = user_name
        self._emit = emit
        self._going: set[asyncio.Task[Any]] = set()

    def open(self) -> None:
        """Put right what a crash left, and say what is missing."""
        self._blobs.open()
        self._rollback.open()
        if missing := self._retention.surplus().missing:
            self._emit(events.Degraded(f"stored bytes are missing: {', '.join(view.named(*one) for one in missing)}"))

    async def close(self) -> None:
        """Wait for what must not be left half done."""
        await asyncio.gather(*self._going, return_exceptions=True)

    def listed(self, may_touch: MayTouch, *, project: str | None) -> list[View]:
        """The caller's models, by name."""
        mine = [row for row in self._models.all() if row.removed_at is None and may_touch(row.owner)]
        return [self._view(row) for row in mine if project in (None, row.project_name, row.project)]

    def show(self, name: str, may_touch: MayTouch) -> tuple[View, list[View]]:
        """A model and its versions, newest first."""
        row = self.find(name, may_touch)
        log, versions = self._models.log(row.id), self._models.versions(row.id)
        return self._view(row), [self._version(one, log) for one in versions]

    def history(self, name: str, may_touch: MayTouch) -> list[View]:
        """Every move of every alias, newest first."""
        return [self._change(row) for row in reversed(self._models.log(self.find(name, may_touch).id))]

    def meant_at(self, name: str, may_touch: MayTouch, at: float) -> list[View]:
        """What each alias meant at that time, and who had said so."""
        log = self._models.log(self.find(name, may_touch).id)
        return [self._change(row) for _, row in sorted(aliases.meaning(log, at).items())]

    async def register(
        self, path: Path, *, name: str | None, project: str | None, uid: int, operator: bool
    ) -> tuple[View, View]:
        """Keep a file as it is now. Raises BadRequest, NotPermitted, Refused."""
        added = await self._registering.register(path, name=name, project=project, uid=uid, operator=operator)
        row = next(row for row in self._models.named(added.model))
        log = self._models.log(row.id)
        version = next(one for one in self._models.versions(row.id) if one.number == added.number)
        if added.is_new:
            self._tell(row, f"version {added.number}, registered by {self._user_name(uid)}")
            await self._retention.apply(row.id)
        return self._view(row), self._version(version, log)

    async def alias(self, name: str, alias: str, number: int | None, may_touch: MayTouch, actor: Actor) -> View:
        """Let an alias mean another version from now on; None: nothing."""
        row = self.find(name, may_touch)
        log = self._models.log(row.id)
        _refuse_new(alias, log)
        if number is None and alias not in aliases.meaning(log):
            raise NotFound(f"{row.name} has no alias {alias}", hint=f"mlosctl model show {row.name}")
        if number is not None:
            self._one(row, number)
        moved = await self._models.move(row.id, alias, number, actor=actor.uid, reason=actor.reason, at=time.time())
        self._tell(row, f"{alias} {_means(number)}, said {self._user_name(actor.uid)}")
        return self._change(moved)

    async def rollback(
        self, name: str, alias: str | None, number: int | None, may_touch: MayTouch, actor: Actor
    ) -> tuple[View, Path]:
        """Put an earlier version back in its place, and the alias with it. Goes on when the caller hangs up."""
        row = self.find(name, may_touch)
        if alias is not None:
            _refuse_new(alias, self._models.log(row.id))
        return await self._unstoppable(self._roll_back(row, alias, number, actor))

    def surplus(self) -> View:
        """What `collect` would remove."""
        surplus = self._retention.surplus()
        return view.surplus(surplus, surplus.size)

    async def collect(self) -> View:
        """Remove stored bytes beyond the policy, and what belongs to no version."""
        return view.surplus(*await self._unstoppable(self._retention.collect()))

    async def remove(self, name: str, number: int, may_touch: MayTouch) -> int:
        """Remove the bytes of one version; how many. Raises Refused when an alias needs it."""
        row = self.find(name, may_touch)
        self._one(row, number)
        freed = await self._unstoppable(self._retention.remove(row, number))
        self._tell(row, f"the bytes of version {number} were removed")
        return freed

    def find(self, name: str, may_touch: MayTouch) -> ModelRow:
        """A model of the caller's by name, project/name or id. Raises NotFound, also for another's."""
        project, slash, last = name.rpartition("/")
        text = last.encode("utf-8", "replace").decode("utf-8")
        mine = [row for row in self._models.named(text) if may_touch(row.owner)]
        if slash:
            mine = [row for row in mine if project in (row.project_name, row.project)]
        # Models of projects that were removed can be named as long as no other is called so.
        mine = [row for row in mine if row.removed_at is None] or mine
        if not mine:
            raise NotFound(f"there is no model {name!r} of yours", hint="mlosctl model list")
        if len(mine) > 1:
            choices = ", ".join(sorted(f"{row.project_name}/{row.name}" for row in mine))
            raise BadRequest(f"{len(mine)} models are called {name!r}: {choices}", hint="name it with its project")
        return mine[0]

    async def _roll_back(self, row: ModelRow, alias: str | None, number: int | None, actor: Actor) -> tuple[View, Path]:
        async with self._rollback.live(row) as live:
            # Looked up now: what was in place may have become a version just then.
            log, versions = self._models.log(row.id), self._models.versions(row.id)
            target = self._target(live, versions, log, alias, number)
            alias = alias or _alias_of(live, versions, log)
            await self._rollback.put_back(live, target, Move(alias, actor.uid, actor.reason))
        moved = f", {alias} with it" if alias else ""
        self._tell(row, f"version {target.number} is back in place{moved}, by {self._user_name(actor.uid)}")
        return self._version(target, self._models.log(row.id)), path_of(row)

    def _target(
        self,
        live: Live,
        versions: Sequence[ModelVersionRow],
        log: Sequence[AliasRow],
        alias: str | None,
        number: int | None,
    ) -> ModelVersionRow:
        row = live.model
        if number is None and alias is not None:
            meant = aliases.meaning(log).get(alias)
            if meant is None:
                raise NotFound(f"{row.name} has no alias {alias}", hint=f"mlosctl model show {row.name}")
            number = aliases.before(log, alias)
            below = meant.number
        else:
            below = next((one.number for one in versions if one.digest == live.digest), None)
        if number is None:
            # The newest that is kept, below the one in place; all of them, where there is none.
            number = next((one.number for one in versions if one.stored and (not below or one.number < below)), None)
        if number is None:
            raise Refused(f"{row.name} has no earlier version that is kept", hint=f"mlosctl model show {row.name}")
        target = self._one(row, number)
        if not target.stored:
            raise Refused(
                f"version {number} of {row.name} cannot come back: {target.captured}",
                hint=f"mlosctl model show {row.name} tells which are stored",
            )
        return target

    def _one(self, row: ModelRow, number: int) -> ModelVersionRow:
        for version in self._models.versions(row.id):
            if version.number == number:
                return version
        raise NotFound(f"{row.name} has no version {number}", hint=f"mlosctl model show {row.name}")

    async def _unstoppable(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        return await asyncio.shield(task)

    def _view(self, row: ModelRow) -> View:
        return view.model(row, self._models.versions(row.id), self._models.log(row.id))

    def _version(self, row: ModelVersionRow, log: Sequence[AliasRow]) -> View:
        # What nobody saw being made may have been made from anything.
        inputs = [Input(*one) for one in self._inputs_of(row.version)] if row.made_by is not None else None
        return view.version(row, log, is_there=self._blobs.has(row.digest), inputs=inputs)

    def _change(self, row: AliasRow) -> View:
        return view.change(row) | {"actor": self._user_name(row.actor)}

    def _tell(self, row: ModelRow, detail: str) -> None:
        self._emit(events.ModelChanged(f"{row.project_name}/{row.name}", detail))


def _alias_of(live: Live, versions: Sequence[ModelVersionRow], log: Sequence[AliasRow]) -> str | None:
    """The alias that goes back with the file when none was named: the one that means what is in place."""
    in_place = {one.number for one in versions if one.digest == live.digest}
    found = sorted(alias for alias, row in aliases.meaning(log).items() if row.number in in_place)
    if len(found) > 1:
        raise BadRequest(f"{' and '.join(found)} both mean what is in place now", hint="say which goes back: --alias")
    return found[0] if found else None


def _refuse_new(alias: str, log: Sequence[AliasRow]) -> None:
    """Raise BadRequest for what no alias may be called. One that came with an import is called as it was there."""
    if all(row.alias != alias for row in log):
        names.alias(alias)


def _means(number: int | None) -> str:
    return "means nothing" if number is None else f"means version {number}"
