"""Projects for callers: add, list, show, forget."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlosd.core import events
from mlosd.core.errors import BadRequest, NotFound
from mlosd.core.ids import new_id
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel.file_handle import FileHandle
from mlosd.projects import survey
from mlosd.projects.following import Following
from mlosd.projects.intent import Limits, Parse, plan_of
from mlosd.projects.rights import Rights
from mlosd.projects.roles import Paths
from mlosd.projects.walk import DIRECTORY
from mlosd.store.projects import ELSEWHERE, Found, ProjectRow, Projects, ResourceRow

View = dict[str, Any]
MayTouch = Callable[[int], bool]
LONGEST_NAME = 200


class ProjectService:
    """What callers ask of projects."""

    def __init__(
        self,
        *,
        projects: Projects,
        parse: Parse,
        user_name: Callable[[int], str],
        limits: Limits,
        following: Following,
        emit: Callable[[events.Event], None],
    ) -> None:
        self._projects = projects
        self._parse = parse
        self._user_name = user_name
        self._limits = limits
        self._following = following
        self._emit = emit

    async def add(self, path: Path, *, name: str | None, uid: int, operator: bool) -> View:
        """Register a directory and what is in it. Raises BadRequest, NotFound, NotPermitted, Refused, BadConfig."""
        if not path.is_absolute() or ".." in path.parts:
            raise BadRequest(f"a project's root is an absolute path without .., not {path}")
        root = await in_own_thread(lambda: survey.open_root(path, uid=uid, anybody=operator))
        try:
            status, text = await in_own_thread(lambda: (os.fstat(root), survey.read_project_file(root) or b""))
            declared = await asyncio.to_thread(self._parse, text, status.st_uid, status.st_gid)
            plan = plan_of(declared, self._limits, known={}, datasets=())
            rights = Rights.of(status.st_uid)
            result = await in_own_thread(lambda: survey.survey_as(rights, root, plan, most=self._limits.most))
        finally:
            os.close(root)
        name = name or declared.name or path.name
        _refuse_name(name)
        project = ProjectRow(new_id(), name, os.fspath(path), status.st_uid, declared.environment, time.time())
        await self._projects.add(project, result.found)
        self._following.follow(project)
        self._emit(events.ProjectChanged(project.name, f"added, {len(result.found)} resources"))
        return self._view(project, notes=(*result.notes, *_unmatched(declared.datasets, result.found)))

    def owned(self, may_touch: MayTouch) -> list[View]:
        """The caller's projects."""
        return [self._view(project) for project in self._projects.all() if may_touch(project.owner)]

    async def show(self, name_or_id: str, may_touch: MayTouch) -> tuple[View, list[View]]:
        """A project and its resources."""
        project = self.find(name_or_id, may_touch)
        rows = self._projects.resources(project.id)
        return self._view(project), await in_own_thread(lambda: _resources(project, rows))

    async def remove(self, name_or_id: str, may_touch: MayTouch) -> None:
        """Forget a project; its files stay."""
        project = self.find(name_or_id, may_touch)
        self._following.forget(project.id)
        await self._projects.remove(project.id)
        self._emit(events.ProjectChanged(project.name, "removed"))

    def find(self, name_or_id: str, may_touch: MayTouch) -> ProjectRow:
        """The project, if it is the caller's. Raises NotFound with the same words if it is another's."""
        named = self._projects.named(name_or_id) if _is_text(name_or_id) else []
        mine = [project for project in named if may_touch(project.owner)]
        if not mine:
            raise NotFound(f"there is no project {name_or_id!r} of yours", hint="mlosctl project list")
        if len(mine) > 1:
            raise BadRequest(f"{len(mine)} users have a project {name_or_id!r}", hint="name it by its id")
        return mine[0]

    def find_id_and_name(self, name_or_id: str, uid: int) -> tuple[str, str]:
        """Those of a user's project, for a job that names it by either."""
        project = self.find(name_or_id, lambda owner: uid in (owner, 0))
        return project.id, project.name

    def _view(self, project: ProjectRow, notes: tuple[str, ...] = ()) -> View:
        return {
            "id": project.id,
            "name": project.name,
            "root": project.root,
            "owner": self._user_name(project.owner),
            "environment": project.environment,
            "added_at": project.added_at,
            "resources": self._projects.roles(project.id),
            "notes": list(notes),
        }


def _unmatched(datasets: Sequence[str], found: Sequence[Found]) -> list[str]:
    """What mlos.toml declares and nobody found."""
    directories = [file.path for file in found if file.format == DIRECTORY]
    return [f"mlos.toml: datasets: {glob} is no directory here" for glob in Paths(datasets).unmatched(directories)]


def _refuse_name(name: str) -> None:
    hint = "give it another with --name"
    if not _is_text(name):
        raise BadRequest(f"a project's name is UTF-8, which {name!r} is not", hint=hint)
    if name == ELSEWHERE:
        raise BadRequest(f"{name!r} is no name for a project", hint=hint)
    # What cannot be printed on a line could not be imported again either.
    if not (0 < len(name) <= LONGEST_NAME and name.isprintable()):
        raise BadRequest(f"a project's name is 1 to {LONGEST_NAME} printable characters", hint=hint)


def _is_text(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _resources(project: ProjectRow, rows: Sequence[ResourceRow]) -> list[View]:
    """What there is now, as its owner sees it: the root may be another's by now."""
    with Rights.of(project.owner).taken():
        return [_resource(Path(project.root), row) for row in rows]


def _resource(root: Path, row: ResourceRow) -> View:
    return {
        "id": row.id,
        "role": row.role,
        "path": row.path,
        "filesystem": row.filesystem,
        "handle": FileHandle(row.handle_type, row.handle).hex,
        "inode": row.inode,
        "size": row.size,
        "present": survey.is_there(root, row.path),
    }
