"""How long the bytes of versions stay. Their rows stay for good and say what became of them."""

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass

from mlosd.core.errors import Refused
from mlosd.registry import aliases
from mlosd.registry.blobs import Blobs
from mlosd.store.models import ModelRow, Models, ModelVersionRow


@dataclass(frozen=True, slots=True)
class Surplus:
    """What may go: versions beyond the policy, and bytes that belong to none; `size`: of all that in bytes.

    `kept`: versions whose bytes stay; `missing`: those of them whose bytes are not there.
    """

    versions: tuple[tuple[ModelRow, ModelVersionRow], ...]
    orphans: tuple[bytes, ...]
    missing: tuple[tuple[ModelRow, ModelVersionRow], ...]
    kept: int
    size: int


def beyond(versions: Sequence[ModelVersionRow], needed: Container[int], *, keep: int) -> list[ModelVersionRow]:
    """Versions (newest first) whose bytes may go: not of the newest `keep` (0: all), not needed, not the latest."""
    if not keep:
        return []
    stored = [version for version in versions if version.stored]
    latest = versions[0].number if versions else None
    return [version for version in stored[keep:] if version.number not in needed and version.number != latest]


class Retention:
    """Removes bytes. `keep`: versions per model."""

    def __init__(self, *, models: Models, blobs: Blobs, keep: int) -> None:
        self._models = models
        self._blobs = blobs
        self._keep = keep

    def surplus(self) -> Surplus:
        """What `collect` would remove now."""
        going: list[tuple[ModelRow, ModelVersionRow]] = []
        staying: list[tuple[ModelRow, ModelVersionRow]] = []
        for model in self._models.all():
            versions = self._models.versions(model.id)
            old = {version.number for version in self._beyond(model.id, versions)}
            for version in versions:
                if version.stored:
                    (going if version.number in old else staying).append((model, version))
        orphans = [d for d in self._blobs.all() if not self._models.is_stored(d) and not self._blobs.is_held(d)]
        free = {version.digest for _, version in going} - {version.digest for _, version in staying}
        return Surplus(
            versions=tuple(going),
            orphans=tuple(orphans),
            missing=tuple((model, version) for model, version in staying if not self._blobs.has(version.digest)),
            kept=len(staying),
            size=sum(map(self._blobs.size, {*free, *orphans})),
        )

    async def collect(self) -> tuple[Surplus, int]:
        """Remove what is surplus; that, and how many bytes it was."""
        surplus = self.surplus()
        freed = 0
        for model, version in surplus.versions:
            freed += await self._prune(model.id, [version])
        return surplus, freed + sum(map(self._remove, surplus.orphans))

    async def apply(self, model: str) -> None:
        """Remove what this model has beyond the policy."""
        await self._prune(model, self._beyond(model, self._models.versions(model)))

    async def remove(self, model: ModelRow, number: int) -> int:
        """Remove the bytes of one version; how many its owner has less.

        Raises Refused when an alias needs it, or it is the latest.
        """
        versions = self._models.versions(model.id)
        if (alias := aliases.needed(self._models.log(model.id)).get(number)) is not None:
            raise Refused(
                f"{alias} needs version {number} of {model.name}",
                hint="aliases keep what they mean and what they meant before; move it twice, and the version is free",
            )
        if versions and versions[0].number == number:
            raise Refused(f"version {number} is the latest of {model.name}", hint="the latest version is always kept")
        going = [version for version in versions if version.number == number and version.stored]
        sizes = {version.digest: self._blobs.size(version.digest) for version in going}
        await self._prune(model.id, going)
        # Others may have the same bytes, and they stay then: that is not for this user to know.
        return sum(size for digest, size in sizes.items() if not self._models.is_stored(digest, owner=model.owner))

    def _beyond(self, model: str, versions: Sequence[ModelVersionRow]) -> list[ModelVersionRow]:
        return beyond(versions, aliases.needed(self._models.log(model)), keep=self._keep)

    async def _prune(self, model: str, versions: Sequence[ModelVersionRow]) -> int:
        if not versions:
            return 0
        # The row first: one that says too little is put right by the next collection, one that says too much is a lie.
        await self._models.prune(model, [version.number for version in versions], at=time.time())
        return sum(map(self._remove, {version.digest for version in versions}))

    def _remove(self, digest: bytes) -> int:
        if self._blobs.is_held(digest) or self._models.is_stored(digest):
            return 0
        return self._blobs.remove(digest)
