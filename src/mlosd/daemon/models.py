"""The registry of models, put together."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlosd.config.settings import Models as Settings
from mlosd.content.reader import Reader
from mlosd.core import events
from mlosd.core.errors import BadRequest, NotFound
from mlosd.daemon import joints
from mlosd.lineage import places
from mlosd.registry.blobs import Blobs
from mlosd.registry.capture import Capture
from mlosd.registry.intents import Intents
from mlosd.registry.keep import Keeping
from mlosd.registry.registering import Registering
from mlosd.registry.retention import Retention
from mlosd.registry.rollback import Rollback
from mlosd.registry.service import InputsOf, ModelService
from mlosd.store.db import Database
from mlosd.store.models import Models
from mlosd.store.projects import Projects
from mlosd.store.versions import Versions


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """What keeps models, and what callers ask."""

    capture: Capture
    service: ModelService

    async def close(self) -> None:
        """Finish what must not be left half done; let go of the rest."""
        await self.capture.close()
        await self.service.close()


def model_registry(
    directory: Path,
    settings: Settings,
    *,
    database: Database,
    projects: Projects,
    reader: Reader,
    inputs_of: InputsOf,
    user_name: Callable[[int], str],
    emit: Callable[[events.Event], None],
) -> ModelRegistry:
    """Make every part of it. Nothing runs yet."""
    models, blobs = Models(database), Blobs(directory)
    keeping = Keeping(models=models, blobs=blobs, reader=reader, reserve=settings.reserve_mib << 20)
    retention = Retention(models=models, blobs=blobs, keep=settings.keep_versions)
    capture = Capture(
        keeping=keeping,
        models=models,
        reader=reader,
        place=lambda uid, path: joints.place_of(projects, uid, path),
        kept=lambda added: retention.apply(added.model),
        most_open=settings.open_files,
        emit=emit,
    )
    rollback = Rollback(
        models=models,
        versions=Versions(database),
        blobs=blobs,
        keeping=keeping,
        reader=reader,
        intents=Intents(directory),
        emit=emit,
    )
    service = ModelService(
        models=models,
        blobs=blobs,
        registering=Registering(
            models=models,
            keeping=keeping,
            reader=reader,
            home=lambda uid, project, path: home_of(projects, uid, project, path),
        ),
        rollback=rollback,
        retention=retention,
        inputs_of=inputs_of,
        user_name=user_name,
        emit=emit,
    )
    return ModelRegistry(capture, service)


async def home_of(projects: Projects, uid: int, project: str | None, path: Path) -> tuple[str, str]:
    """The project of a user's file and its path there. `project`: name or id of the one that it must be in."""
    if project is None:
        where = places.place(os.fsencode(path), joints.roots(projects, uid), "")
        return where.project or await projects.elsewhere(uid), where.path
    row = next((row for row in projects.all() if row.owner == uid and project in (row.name, row.id)), None)
    if row is None:
        raise NotFound(f"there is no project {project!r} of yours", hint="mlosctl project list")
    if not path.is_relative_to(row.root) or path == Path(row.root):
        raise BadRequest(f"{path} is not below {row.root}", hint="register it without --project, or move it there")
    return row.id, os.fspath(path.relative_to(row.root))
