"""Put an earlier version of a model back in its place: the file in one step, the alias with it, and nothing is lost.

The replaced file is stored first; the stored bytes are checked against their digest while they are written beside the
live file; the two change places; the rows are written, or the two change back.
"""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlosd.content.identity import Content, ContentUnreadable, NoSpace
from mlosd.core import events
from mlosd.core.errors import Refused
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel.lease import has_writers
from mlosd.registry import keep, place
from mlosd.registry.blobs import Blobs
from mlosd.registry.intents import Intent, Intents
from mlosd.registry.keep import Keeping, Reads, State
from mlosd.registry.place import Place
from mlosd.store.models import ModelRow, Models, ModelVersionRow
from mlosd.store.versions import Versions

UNCHANGED = "nothing was changed"
CHANGED = f"try again when nobody is writing it; {UNCHANGED}"


@dataclass(frozen=True, slots=True)
class Move:
    """An alias that moves with the file (None: none does), who moves it and why."""

    alias: str | None
    actor: int
    reason: str


@dataclass(frozen=True, slots=True)
class Live:
    """A model's place, and the file that is there now (None: none), as the metadata knows it."""

    model: ModelRow
    place: Place
    fd: int | None
    state: State | None
    digest: bytes | None


class Rollback:
    """Exchanges files. One at a time for each model."""

    def __init__(
        self,
        *,
        models: Models,
        versions: Versions,
        blobs: Blobs,
        keeping: Keeping,
        reader: Reads,
        intents: Intents,
        emit: Callable[[events.Event], None],
    ) -> None:
        self._models = models
        self._versions = versions
        self._blobs = blobs
        self._keeping = keeping
        self._reader = reader
        self._intents = intents
        self._emit = emit
        self._busy: set[str] = set()

    def open(self) -> None:
        """Put right what a crash left half done."""
        for path, intent in self._intents.left():
            try:
                self._put_right(intent)
            except (OSError, Refused) as e:
                # Its disk may come back: the next start tries again.
                self._emit(events.Failed(f"a rollback of {intent.path} that was cut off", str(e)))
            else:
                path.unlink()

    @asynccontextmanager
    async def live(self, model: ModelRow) -> AsyncIterator[Live]:
        """The model's file, looked at for a rollback. Raises Refused when it cannot be replaced."""
        path = path_of(model)
        if model.id in self._busy:
            raise Refused(f"{model.name} is being rolled back already")
        self._busy.add(model.id)
        try:
            there = await in_own_thread(lambda: Place.open(path, owner=model.owner))
            try:
                fd = await in_own_thread(lambda: there.live(owner=model.owner))
                try:
                    yield await self._look(model, there, fd)
                finally:
                    if fd is not None:
                        os.close(fd)
            finally:
                there.close()
        finally:
            self._busy.discard(model.id)

    async def put_back(self, live: Live, target: ModelVersionRow, move: Move) -> None:
        """Replace the live file by this version. Raises Refused; nothing has changed then."""
        model = live.model
        if live.digest == target.digest:
            # It is there already: only the alias moves.
            if move.alias is not None:
                await self._models.move(
                    model.id, move.alias, target.number, actor=move.actor, reason=move.reason, at=time.time()
                )
            return
        with self._blobs.holding(target.digest):
            try:
                await self._exchange(live, target, move)
            except OSError as e:
                raise Refused(f"{path_of(model)}: {e.strerror}", hint=UNCHANGED) from e
            except NoSpace as e:
                raise Refused(f"there is no room beside {path_of(model)}", hint=UNCHANGED) from e
            except ContentUnreadable as e:
                raise Refused(f"version {target.number} of {model.name}: {e.reason}", hint=UNCHANGED) from e

    async def _exchange(self, live: Live, target: ModelVersionRow, move: Move) -> None:
        model, there = live.model, live.place
        fresh, fd = await in_own_thread(there.fresh)
        try:
            inode, replaced = os.fstat(fd).st_ino, live.state.inode if live.state else None
            intent = Intent(
                path=os.fspath(path_of(model)),
                owner=model.owner,
                fresh=fresh,
                inode=inode,
                replaced=replaced,
                resource=model.resource or "",
                digest=target.digest.hex(),
            )
            written = await in_own_thread(lambda: self._intents.write(intent))
            try:
                content = await self._fill(fd, live, target)
                await in_own_thread(lambda: there.swap(fresh))
                await in_own_thread(lambda: _refuse_changed(live, fresh, inode))
                where, now = await in_own_thread(lambda: _found(model, there, fd))
                await self._models.put_back(
                    keep.seen(where, now, content),
                    model.id,
                    move.alias,
                    target.number,
                    actor=move.actor,
                    reason=move.reason,
                    at=time.time(),
                )
            except Exception:
                await in_own_thread(lambda: there.put_right(fresh, is_done=False, inode=inode, replaced=replaced))
                written.unlink()
                raise
            await self._clear(intent, written, there)
        finally:
            os.close(fd)

    async def _clear(self, intent: Intent, written: Path, there: Place) -> None:
        """It is done, whatever happens now: what cannot be cleared away is left to the next start."""
        try:
            await in_own_thread(
                lambda: there.put_right(intent.fresh, is_done=True, inode=intent.inode, replaced=intent.replaced)
            )
            written.unlink()
        except OSError as e:
            self._emit(events.Failed(f"clearing away what lay in {intent.path} before", str(e)))

    async def _fill(self, fd: int, live: Live, target: ModelVersionRow) -> Content:
        """Write the stored bytes into the fresh file, which looks like the live one otherwise."""
        there, owner = live.place, live.model.owner
        try:
            stored = self._blobs.read(target.digest)
        except FileNotFoundError as e:
            raise Refused(f"the stored bytes of version {target.number} are missing", hint=UNCHANGED) from e
        try:
            content = await self._reader.copy(stored, fd, name=os.fsencode(there.name))
        finally:
            os.close(stored)
        if content.digest != target.digest:
            raise Refused(f"the stored bytes of version {target.number} are damaged", hint=UNCHANGED)

        def finish() -> None:
            place.dress(fd, live.fd, owner=owner, directory=there.directory)
            os.fsync(fd)

        await in_own_thread(finish)
        return content

    async def _look(self, model: ModelRow, there: Place, fd: int | None) -> Live:
        if fd is None:
            return Live(model, there, None, None, None)
        if await in_own_thread(lambda: has_writers(fd)):
            raise Refused(f"{path_of(model)} is being written", hint=CHANGED)
        where, now = await in_own_thread(lambda: _found(model, there, fd))
        return Live(model, there, fd, now, await self._store(model, fd, where, now))

    async def _store(self, model: ModelRow, fd: int, where: keep.Where, now: State) -> bytes:
        """Make sure that the live file is a stored version, and known to be what is there; its digest."""
        stored = {version.digest for version in self._models.versions(model.id) if version.stored}
        identity = where.filesystem, where.handle.type, where.handle.bytes
        known = self._versions.digest_of(identity, (now.size, now.mtime_ns, now.ctime_ns))
        if known and known.digest in stored and self._blobs.has(known.digest):
            await self._versions.see(keep.seen(where, now, None), run=None, at=time.time())
            return known.digest
        try:
            async with self._keeping.taking(fd, name=where.name) as taken:
                if not taken.kept.stored:
                    raise Refused(f"there is no room to keep what is in {path_of(model)} now", hint=UNCHANGED)
                if taken.kept.digest in stored:
                    await self._versions.see(keep.seen(where, taken.state, taken.content), run=None, at=time.time())
                else:
                    await self._keeping.note(taken, where, run=None)
                return taken.kept.digest
        except ContentUnreadable as e:
            raise Refused(f"{path_of(model)}: {e.reason}", hint=CHANGED) from e

    def _put_right(self, intent: Intent) -> None:
        newest = self._versions.current(intent.resource)
        is_done = newest is not None and newest.digest == bytes.fromhex(intent.digest)
        there = Place.open(Path(intent.path), owner=intent.owner)
        try:
            there.put_right(intent.fresh, is_done=is_done, inode=intent.inode, replaced=intent.replaced)
        finally:
            there.close()


def path_of(model: ModelRow) -> Path:
    """Where the model's file is. Raises Refused when it lives in no one file."""
    if model.path is None:
        raise Refused(f"{model.name} does not live in one file")
    return Path(model.root, model.path)


def _found(model: ModelRow, there: Place, fd: int) -> tuple[keep.Where, State]:
    path = model.path or there.name
    return keep.locate(fd, there.directory, project=model.project, path=path, role_by="observed"), keep.state(fd)


def _refuse_changed(live: Live, fresh: str, inode: int) -> None:
    """Whether our file is in place, and what it replaced is what was stored: somebody may have come in between."""
    if live.place.inode(live.place.name) != inode:
        raise Refused(f"{path_of(live.model)} was replaced meanwhile", hint="what was there is stored as a version")
    if live.fd is None or live.state is None:
        return
    changed = not live.state.is_content_of(keep.state(live.fd)) or live.place.inode(fresh) != live.state.inode
    with suppress(OSError):
        changed = changed or bool(has_writers(live.fd))
    if changed:
        raise Refused(f"{path_of(live.model)} was written meanwhile", hint=CHANGED)
