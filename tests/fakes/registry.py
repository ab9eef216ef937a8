"""A registry of models over a real database and real files, with a reader that knows one format.

A file that begins with MODEL is a model, and whole when it ends with END.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mlosd.content.identity import Content, Identity, NoSpace
from mlosd.core import events
from mlosd.kernel.file_handle import FileHandle, fd_to_handle, name_to_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.registry.blobs import Blobs
from mlosd.registry.capture import Capture
from mlosd.registry.intents import Intents
from mlosd.registry.keep import Keeping
from mlosd.registry.registering import Registering
from mlosd.registry.retention import Retention
from mlosd.registry.rollback import Rollback
from mlosd.registry.service import Actor, ModelService
from mlosd.registry.written import Closed
from mlosd.store.db import Database
from mlosd.store.models import Models
from mlosd.store.projects import ProjectRow, Projects
from mlosd.store.versions import Versions

T = TypeVar("T")
PROJECT = "project-1"


def model(text: str) -> bytes:
    """A whole model with this text in it."""
    return f"MODEL {text:<20} END".encode("ascii")


class Reader:
    """Reads at once. `meanwhile` is called when all was read, before anybody hears of it."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None
        self.is_full = False
        self.read_files = 0

    async def identify(self, fd: int, *, name: bytes) -> Identity:
        content = _all(fd)
        if not content.startswith(b"MODEL"):
            return Identity("text", "dataset" if content.startswith(b"DATA") else None)
        return Identity(
            "fake", "model", complete=content.endswith(b"END"), header={"text": content[6:9].decode("ascii")}
        )

    async def claim_model(self, fd: int, *, name: bytes) -> Identity:
        """Whatever it is."""
        return Identity("fake", "model")

    async def read(self, fd: int, *, name: bytes) -> Content:
        self.read_files += 1
        content, identity = _all(fd), await self.identify(fd, name=name)
        self.meanwhile()
        return Content(identity, hashlib.sha256(content).digest(), len(content))

    async def copy(self, fd: int, to: int, *, name: bytes) -> Content:
        if self.is_full:
            raise NoSpace
        os.pwrite(to, _all(fd), 0)
        return await self.read(fd, name=name)


class Shop:
    """Everything of the registry for one project of ours, in a directory. `reopen` is a daemon that starts again."""

    def __init__(self, directory: Path, *, keep: int = 10, most_open: int = 64) -> None:
        self.directory, self.root = directory, directory / "project"
        self.root.mkdir(exist_ok=True)
        self.loop = asyncio.new_event_loop()
        self.reader, self.events = Reader(), list[events.Event]()
        self.inputs: Callable[[int], Sequence[tuple[int, bool, float]]] = lambda version: []
        self._keep, self._most_open = keep, most_open
        self._open()
        if not Projects(self.database).all():
            row = ProjectRow(PROJECT, "shop", str(self.root), os.getuid(), "dev", 0.0)
            self.run(self._add(row))

    def _open(self) -> None:
        self.database = Database(self.directory / "lib" / "mlosd.db")
        self.models, self.versions = Models(self.database), Versions(self.database)
        self.blobs = Blobs(self.directory / "lib" / "models")
        self.keeping = Keeping(models=self.models, blobs=self.blobs, reader=self.reader, reserve=0, largest=1 << 40)
        self.retention = Retention(models=self.models, blobs=self.blobs, keep=self._keep)
        self.capture = Capture(
            keeping=self.keeping,
            models=self.models,
            reader=self.reader,
            place=self._place,
            kept=lambda added: self.retention.apply(added.model),
            most_open=self._most_open,
            emit=self.events.append,
        )
        self.intents = Intents(self.directory / "lib" / "models")
        self.rollback = Rollback(
            models=self.models,
            versions=self.versions,
            blobs=self.blobs,
            keeping=self.keeping,
            reader=self.reader,
            intents=self.intents,
            emit=self.events.append,
        )
        self.service = ModelService(
            models=self.models,
            blobs=self.blobs,
            registering=Registering(models=self.models, keeping=self.keeping, reader=self.reader, home=self._home),
            rollback=self.rollback,
            retention=self.retention,
            inputs_of=lambda version: self.inputs(version),  # noqa: PLW0108 - tests put another in its place
            user_name=str,
            emit=self.events.append,
        )
        self.service.open()

    def reopen(self) -> None:
        """The daemon starts again."""
        self.close()
        self.loop = asyncio.new_event_loop()
        self._open()

    def close(self) -> None:
        async def close() -> None:
            await self.capture.close()
            await self.service.close()
            await self.database.close()

        self.run(close())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def write(self, name: str, content: bytes) -> Path:
        """As a job that writes in place."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content)
        return path

    def closed(self, name: str, *, run: int = 1, handle: FileHandle | None = None) -> None:
        """A job closed the file after writing. Only within the loop, or with `settle` after it."""
        path = self.root / name
        fd = os.open(path, os.O_RDONLY)
        status = os.fstat(fd)
        closed = Closed(
            run=run,
            uid=os.getuid(),
            path=os.fsencode(path),
            filesystem=str(filesystem_id(fd)),
            handle=handle or fd_to_handle(fd),
            parent=name_to_handle_at(path.parent),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            reopen=lambda: os.open(path, os.O_RDONLY),
        )
        self.capture.closed(closed, fd)

    def save(self, name: str, content: bytes, *, run: int = 1) -> None:
        """A whole job: it writes the file, closes it, ends."""

        async def job() -> None:
            self.write(name, content)
            self.closed(name, run=run)
            await self.capture.settle(run)

        self.run(job())

    def numbers(self, name: str) -> list[tuple[int, bytes]]:
        """The versions of a model: number and stored bytes, oldest first."""
        row = self.service.find(name, lambda owner: True)
        return [
            (version.number, self.blobs.path(version.digest).read_bytes() if version.stored else b"")
            for version in reversed(self.models.versions(row.id))
        ]

    def alias(self, name: str, alias: str, number: int | None) -> None:
        self.run(self.service.alias(name, alias, number, lambda owner: True, Actor(os.getuid(), "")))

    def roll_back(self, name: str, *, alias: str | None = None, number: int | None = None) -> None:
        self.run(self.service.rollback(name, alias, number, lambda owner: True, Actor(os.getuid(), "because")))

    def said(self) -> list[str]:
        return [event.text() for event in self.events]

    async def _add(self, row: ProjectRow) -> None:
        await Projects(self.database).add(row, [])

    async def _place(self, uid: int, path: bytes) -> tuple[str, str] | None:
        return PROJECT, os.path.relpath(os.fsdecode(path), self.root)

    async def _home(self, uid: int, project: str | None, path: Path) -> tuple[str, str]:
        return PROJECT, os.path.relpath(path, self.root)


def _all(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
