"""What people call things, and which run or versions they mean by it. Only what is the asker's is found."""

from collections.abc import Callable
from dataclasses import dataclass

from mlosd.core.errors import BadRequest, NotFound
from mlosd.store.lineage import Described, Lineage
from mlosd.store.models import ModelRow, Models
from mlosd.store.projects import ProjectRow, Projects

MayTouch = Callable[[int], bool]
MOST_ROOTS = 500


@dataclass(frozen=True, slots=True)
class Meant:
    """A run, or versions of files."""

    run: int | None = None
    versions: tuple[int, ...] = ()


class Names:
    """Finds things by the names that people have for them."""

    def __init__(self, lineage: Lineage, projects: Projects, models: Models) -> None:
        self._lineage = lineage
        self._projects = projects
        self._models = models

    def file(self, path: str, project: str | None, may_touch: MayTouch) -> Meant:
        """A file as it is now; for one within a dataset that is a whole directory, the dataset. Raises NotFound."""
        found = [row for place in self._places(path, project, may_touch) if (row := self._at(*place)) is not None]
        return _only(found, path)

    def dataset(self, path: str, project: str | None, may_touch: MayTouch) -> Meant:
        """The same, or all that is known below a directory. Raises NotFound."""
        places = self._places(path.rstrip("/") or "/", project, may_touch)
        if found := [row for place in places if (row := self._at(*place)) is not None]:
            return _only(found, path)
        for place in places:
            if rows := self._lineage.below(*place, limit=MOST_ROOTS):
                return Meant(versions=tuple(row.number for row in rows))
        raise _not_found(path)

    def model(self, name: str, project: str | None, may_touch: MayTouch) -> Meant:
        """A version of a model: NAME (the newest), NAME:ALIAS or NAME:NUMBER, PROJECT/NAME. Raises NotFound."""
        called, _, which = name.partition(":")
        owner_project, slash, last = called.rpartition("/")
        rows = self._models.named(called) or (self._models.named(last) if slash else [])
        wanted = project or (owner_project if slash else None)
        mine = [row for row in rows if may_touch(row.owner) and wanted in (None, row.project, row.project_name)]
        if not mine:
            raise NotFound(f"there is no model {called!r} of yours", hint="mlosctl model list")
        if len(mine) > 1:
            raise BadRequest(f"{len(mine)} projects have a model {called!r}", hint="name one: PROJECT/NAME")
        return Meant(versions=(self._version(mine[0], which),))

    def project(self, name_or_id: str, may_touch: MayTouch) -> ProjectRow:
        """A project. Raises NotFound, with the same words for one of somebody else."""
        mine = [project for project in self._projects.named(name_or_id) if may_touch(project.owner)]
        if not mine:
            raise NotFound(f"there is no project {name_or_id!r} of yours", hint="mlosctl project list")
        if len(mine) > 1:
            raise BadRequest(f"{len(mine)} users have a project {name_or_id!r}", hint="name it by its id")
        return mine[0]

    def _version(self, model: ModelRow, which: str) -> int:
        versions = self._models.versions(model.id)
        number = versions[0].number if versions and not which else None
        if which.isascii() and which.isdigit():
            number = int(which)
        elif which:
            moves = [move for move in self._models.log(model.id) if move.alias == which]
            number = moves[-1].number if moves else None
        for version in versions:
            if version.number == number:
                return version.version
        what = f"version {which!r} of it" if which else "version of it yet"
        raise NotFound(f"model {model.name!r}: there is no {what}", hint=f"mlosctl model show {model.name}")

    def _places(self, path: str, project: str | None, may_touch: MayTouch) -> list[tuple[str, str]]:
        """(project, path in it) of all that a path may mean, the innermost project first."""
        if project:
            mine = [self.project(project, may_touch)]
        else:
            mine = [row for row in self._projects.all() if may_touch(row.owner)]
        if not path.startswith("/"):
            return [(row.id, path.removeprefix("./")) for row in mine]
        inside = sorted((row for row in mine if _is_below(path, row.root)), key=lambda row: len(row.root), reverse=True)
        places = [(row.id, path[len(row.root.rstrip("/")) + 1 :]) for row in inside]
        outside = [(id_, path) for id_, owner in self._lineage.elsewhere() if may_touch(owner)]
        return places if project else places[:1] + outside + places[1:]

    def _at(self, project: str, path: str) -> Described | None:
        if row := self._lineage.at_path(project, path):
            return row
        folder = path.rpartition("/")[0]
        while folder:
            row = self._lineage.at_path(project, folder)
            if row is not None:
                return row if row.manifest is not None else None
            folder = folder.rpartition("/")[0]
        return None


def _only(found: list[Described], path: str) -> Meant:
    """The one that is meant; where an absolute path is known to several projects, what the innermost knows."""
    if not found:
        raise _not_found(path)
    if len(found) > 1 and not path.startswith("/"):
        names = ", ".join(row.project_name for row in found)
        raise BadRequest(f"{len(found)} projects have a file {path!r}: {names}", hint="name one with --project")
    return Meant(versions=(found[0].number,))


def _is_below(path: str, root: str) -> bool:
    return root in ("/", path) or path.startswith(root.rstrip("/") + "/")


def _not_found(path: str) -> NotFound:
    return NotFound(
        f"nothing is known of a file {path!r} of yours",
        hint="known is what belongs to a project, and what a job read or wrote",
    )
