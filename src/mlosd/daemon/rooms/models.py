"""The registry of models, put together."""

from dataclasses import dataclass

from mlosd.api.caller import user_name
from mlosd.daemon import joints
from mlosd.daemon.rooms.ground import Ground
from mlosd.registry.blobs import Blobs
from mlosd.registry.capture import Capture
from mlosd.registry.intents import Intents
from mlosd.registry.keep import Keeping
from mlosd.registry.registering import Registering
from mlosd.registry.retention import Retention
from mlosd.registry.rollback import Rollback
from mlosd.registry.service import InputsOf, ModelService
from mlosd.store.models import Models


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """What keeps models, and what callers ask."""

    capture: Capture
    service: ModelService

    async def close(self) -> None:
        """Finish what must not be left half done; let go of the rest."""
        await self.capture.close()
        await self.service.close()


def model_registry(ground: Ground, inputs_of: InputsOf) -> ModelRegistry:
    """Make every part. Nothing runs yet."""
    directory, settings = ground.where.models, ground.settings.models
    projects, reader, emit = ground.projects, ground.reader, ground.emit
    models, blobs = Models(ground.database), Blobs(directory)
    keeping = Keeping(
        models=models,
        blobs=blobs,
        reader=reader,
        reserve=settings.reserve_mib << 20,
        largest=ground.settings.lineage.largest_digest_gib << 30,
    )
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
        versions=ground.versions,
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
            home=lambda uid, project, path: joints.home_of(projects, uid, project, path),
        ),
        rollback=rollback,
        retention=retention,
        inputs_of=inputs_of,
        user_name=user_name,
        emit=emit,
    )
    return ModelRegistry(capture, service)
