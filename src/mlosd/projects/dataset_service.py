"""Datasets for callers: list, show, status, rescan."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from mlosd.core.errors import BadRequest, NotFound
from mlosd.projects import manifest
from mlosd.projects.following import Followed, Following
from mlosd.projects.manifest import Change, ManifestDamaged
from mlosd.projects.service import MayTouch, ProjectService
from mlosd.store.manifests import Manifests
from mlosd.store.projects import ProjectRow, Projects
from mlosd.store.versions import VersionRow, Versions

View = dict[str, Any]

TELL_EVERY = 0.25
MOST_VERSIONS = 50
MOST_COUNTED = 5000
"""Two versions that differ in more files than this are not compared further: it takes time that others wait for."""


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset of a project: the id of its resource, its path below the root."""

    project: ProjectRow
    resource: str
    path: str


class DatasetService:
    """What callers ask of datasets."""

    def __init__(
        self,
        *,
        projects: Projects,
        service: ProjectService,
        following: Following,
        manifests: Manifests,
        versions: Versions,
    ) -> None:
        self._projects = projects
        self._service = service
        self._following = following
        self._manifests = manifests
        self._versions = versions

    def tops(self, project: str) -> list[str]:
        """The paths of a project's datasets that are a whole directory each, whose files have no rows of their own."""
        return [row.path for row in self._manifests.datasets(project)]

    def all(self, project: str | None, may_touch: MayTouch) -> list[View]:
        """Every dataset of the caller, or of one project."""
        mine = [self._service.find(project, may_touch)] if project else self._mine(may_touch)
        return [self._view(place) for row in mine for place in self._places(row)]

    def show(self, path: str, may_touch: MayTouch) -> tuple[View, list[View]]:
        """A dataset and what it was, newest first. Raises NotFound."""
        place = self._find(path, may_touch)
        history = self._versions.history(place.resource)[: MOST_VERSIONS + 1]
        older: list[VersionRow | None] = [*history[1:], None]
        shown = [self._version(new, old) for new, old in zip(history, older, strict=True)]
        return self._view(place), shown[:MOST_VERSIONS]

    async def status(self, path: str, may_touch: MayTouch) -> AsyncGenerator[View, None]:
        """Whether a dataset is what it was; how far the look is, until that is known. Raises NotFound."""
        project = self._project(path, may_touch)
        known = self._at(project, path)
        before = self._versions.current(known.resource) if known else None
        # It goes on when the caller hangs up: what it took up to look at must not be forgotten.
        look = self._following.begin_settling(project.id)
        while not look.done():
            await asyncio.wait([look], timeout=TELL_EVERY)
            if not look.done():
                yield {"counted": self._following.counted(project.id), "status": None}
        followed = look.result()
        place = self._find(path, may_touch)
        dataset = self._view(place)
        after = self._versions.current(place.resource)
        yield {
            "counted": dataset["files"] or 0,
            "status": {
                "dataset": dataset,
                "changed": None not in (before, after) and before.number != after.number,  # type: ignore[union-attr]
                "watched_since": followed.since,
                "not_watched": followed.why_not,
                "looked_at": followed.looked_at,
                "notes": _notes(followed),
            },
        }

    async def rescan(self, project: str, may_touch: MayTouch) -> View:
        """Look at everything of a project."""
        followed = await self._following.rescan(self._service.find(project, may_touch).id)
        told = followed.told
        return {"changed": told.changed, "gone": told.gone, "read": told.read, "notes": _notes(followed)}

    def _mine(self, may_touch: MayTouch) -> list[ProjectRow]:
        return [project for project in self._projects.all() if may_touch(project.owner)]

    def _places(self, project: ProjectRow) -> Iterator[Place]:
        for row in self._projects.resources(project.id):
            if row.role == "dataset":
                yield Place(project, row.id, row.path)

    def _find(self, path: str, may_touch: MayTouch) -> Place:
        """The dataset that this is, or is in."""
        if place := self._at(self._project(path, may_touch), path):
            return place
        raise _no_dataset(path)

    def _project(self, path: str, may_touch: MayTouch) -> ProjectRow:
        """The innermost project of the caller that this lies in."""
        asked = PurePosixPath(path)
        if not asked.is_absolute():
            raise BadRequest(f"a dataset is named by an absolute path, not {path}")
        mine = [project for project in self._mine(may_touch) if asked.is_relative_to(project.root)]
        if not mine:
            raise _no_dataset(path)
        return max(mine, key=lambda project: len(project.root))

    def _at(self, project: ProjectRow, path: str) -> Place | None:
        """The dataset of a project that this path is, or is in."""
        relative = PurePosixPath(path).relative_to(project.root)
        for part in (relative, *relative.parents):
            known = self._projects.known_at(project.id, str(part))
            if known and known.role == "dataset":
                return Place(project, known.resource, known.path)
        return None

    def _view(self, place: Place) -> View:
        current = self._versions.current(place.resource)
        return {
            "id": place.resource,
            "project": place.project.name,
            "path": place.path,
            "files": _files(current),
            "size": current.size if current else 0,
            "digest": current.digest.hex() if current and current.digest else None,
            "since": current.seen_at if current else place.project.added_at,
            "versions": len(self._versions.history(place.resource)),
        }

    def _version(self, new: VersionRow, old: VersionRow | None) -> View:
        counts = self._differences(new.manifest, old.manifest if old else None)
        return {
            "number": new.number,
            "digest": new.digest.hex() if new.digest else None,
            "files": _files(new),
            "size": new.size,
            "seen_at": new.seen_at,
            "made_by": new.made_by,
            **dict(zip(("added", "removed", "changed"), counts, strict=True)),
        }

    def _differences(self, new: bytes | None, old: bytes | None) -> tuple[int | None, int | None, int | None]:
        """How many files were added, removed and changed from the one manifest to the other."""
        if new is None or old is None:
            return None, None, None
        try:
            found = list(islice(manifest.diff(old, new, self._manifests.get), MOST_COUNTED + 1))
        except (LookupError, ManifestDamaged):
            return None, None, None
        if len(found) > MOST_COUNTED:
            return None, None, None
        return _count(found, _added), _count(found, _removed), _count(found, _changed)


def _no_dataset(path: str) -> NotFound:
    return NotFound(f"{path} is no dataset of a project of yours", hint="mlosctl dataset list")


def _count(changes: list[Change], what: Callable[[Change], bool]) -> int:
    return sum(map(what, changes))


def _added(change: Change) -> bool:
    return change.before is None


def _removed(change: Change) -> bool:
    return change.after is None


def _changed(change: Change) -> bool:
    return change.before is not None and change.after is not None


def _files(version: VersionRow | None) -> int | None:
    if version is None or version.manifest is None:
        return None
    files = json.loads(version.header or "{}").get("files")
    return files if isinstance(files, int) else None


def _notes(followed: Followed) -> list[str]:
    notes = []
    if followed.told.busy:
        notes.append(f"{followed.told.busy} files were being written; they are as they were before")
    if followed.told.unreadable:
        notes.append(f"{followed.told.unreadable} files could not be read")
    return notes
