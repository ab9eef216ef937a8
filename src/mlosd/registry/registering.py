"""Make a version of a file that no job made, because its owner says that it is a model."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from mlosd.content.identity import ContentUnreadable
from mlosd.core.errors import BadRequest, Refused
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel.lease import has_writers
from mlosd.registry import keep, names
from mlosd.registry.keep import Keeping, Reads
from mlosd.registry.place import open_directory, open_own
from mlosd.store.models import Added, Models

HomeOf = Callable[[int, str | None, Path], Awaitable[tuple[str, str]]]
"""The project (id) of a user's file and its path there, given the project's name if it was said. Raises NotFound."""


class Registering:
    """`home` says which project a path belongs to."""

    def __init__(self, *, models: Models, keeping: Keeping, reader: Reads, home: HomeOf) -> None:
        self._models = models
        self._keeping = keeping
        self._reader = reader
        self._home = home

    async def register(self, path: Path, *, name: str | None, project: str | None, uid: int, operator: bool) -> Added:
        """Keep the file as it is now. Raises BadRequest, NotPermitted, Refused."""
        if not path.is_absolute() or ".." in path.parts:
            raise BadRequest(f"a model's path is absolute and without .., not {path}")
        fd = await in_own_thread(lambda: open_own(path, uid=uid, anybody=operator))
        try:
            owner = (await in_own_thread(lambda: os.fstat(fd))).st_uid
            project_id, below = await self._home(owner, project, path)
            called = self._name(project_id, below, name)
            where = await in_own_thread(lambda: _where(fd, path, project_id, below))
            if await in_own_thread(lambda: has_writers(fd)):
                raise Refused(f"{path} is being written", hint="register it when it is finished")
            try:
                if not (await self._reader.identify(fd, name=where.name)).complete:
                    raise Refused(f"{path} is not complete: its end is missing", hint="save it again")
                return await self._keeping.keep(fd, where, run=None, name=called)
            except ContentUnreadable as e:
                raise Refused(f"{path}: {e.reason}", hint="try again when nobody is writing it") from e
        finally:
            os.close(fd)

    def _name(self, project: str, path: str, name: str | None) -> str | None:
        if name is None:
            return None
        names.model(name)
        known = self._models.at_path(project, path)
        if known is not None and known.name != name:
            raise Refused(f"the model in this file is called {known.name}", hint="register it without --name")
        if known is None and any(row.project == project for row in self._models.named(name)):
            raise Refused(f"the project has a model {name} already", hint="choose another --name")
        return name


def _where(fd: int, path: Path, project: str, below: str) -> keep.Where:
    directory = open_directory(path.parent)
    try:
        return keep.locate(fd, directory, project=project, path=below, role_by="corrected")
    finally:
        os.close(directory)
