"""A DVC project as records: what it tracks becomes resources and versions, the stages of dvc.lock become runs.

DVC names contents by MD5, which is kept; where the content is there, in the workspace or in the cache, its SHA-256 is
told as well. DVC was told what a stage reads and writes, it did not see it: all of it is `partial`.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlosd.core.errors import BadRequest
from mlosd.exchange import records, yaml_text
from mlosd.exchange.dvc_content import Content, Contents
from mlosd.exchange.telling import Telling, outcome, printable, request

READ, WRITE = 1, 2
NOT_OBSERVED = ["declared by DVC, not observed"]
LARGEST_FILE = 64 << 20
_SKIPPED = frozenset({".git", ".venv", "node_modules", "__pycache__"})
_CODE = frozenset({".py", ".sh", ".r", ".jl", ".ipynb", ".c", ".cpp", ".pyx", ".sql"})


@dataclass(frozen=True, slots=True)
class Item:
    """A dependency or an output as DVC has it. `path`: absolute, or a URL."""

    path: str
    md5: str | None
    size: int | None
    files: int | None


def tell(root: Path, telling: Telling) -> None:
    """All of a project. Raises BadRequest when it is none."""
    if not (root / ".dvc").is_dir():
        raise BadRequest(f"{root} is not a DVC project", hint="give the directory that has .dvc in it")
    _Tell(root, telling).everything()


class _Tell:
    def __init__(self, root: Path, telling: Telling) -> None:
        self._root = root
        self._telling = telling
        self._contents = Contents(root, telling)
        self._roles: dict[str, str] = {}
        self._resources: set[str] = set()
        self._versions: dict[tuple[str, str], str] = {}

    def everything(self) -> None:
        name = printable(self._root.name, "dvc")
        root = records.named(b"dvc:" + os.fsencode(self._root))
        self._telling.tell("project", id="project", name=name, root=root)
        files = sorted(self._files())
        artifacts = self._artifacts(files)
        for path in files:
            if path.name == "dvc.lock":
                self._lock(path)
        for path in files:
            if path.suffix == ".dvc":
                self._tracked(path)
        for number, (artifact, about) in enumerate(artifacts):
            self._model(number, artifact, about)

    def _files(self) -> Iterator[Path]:
        """Every file of DVC's in the project; symbolic links are not followed."""
        for directory, below, names in os.walk(self._root, followlinks=False):
            below[:] = [name for name in below if name not in _SKIPPED and name != ".dvc"]
            for name in names:
                if name in ("dvc.yaml", "dvc.lock") or (name.endswith(".dvc") and name != ".dvc"):
                    yield Path(directory, name)

    def _artifacts(self, files: list[Path]) -> list[tuple[str, dict[str, Any]]]:
        """The models that dvc.yaml names (path and what it says), and how many stages it has that never ran."""
        found = []
        for path in files:
            if path.name != "dvc.yaml":
                continue
            read = self._yaml(path)
            ran = set(_mapping(self._yaml(path.with_name("dvc.lock")).get("stages"))) if self._has_lock(path) else set()
            for stage in _mapping(read.get("stages")):
                # Those of a matrix or a foreach are called stage@item.
                if not any(name == stage or name.startswith(f"{stage}@") for name in ran):
                    self._telling.leave("stages that never ran")
            for name, about in _mapping(read.get("artifacts")).items():
                if not isinstance(about, dict) or not about.get("path"):
                    self._telling.leave("artifacts without a path")
                    continue
                target = self._absolute(path.parent, str(about["path"]))
                if about.get("type") == "model":
                    self._roles[target] = "model"
                    found.append((target, {"name": name, **about}))
                else:
                    self._telling.leave("artifacts that are no models")
        return found

    def _has_lock(self, path: Path) -> bool:
        return path.with_name("dvc.lock").is_file()

    def _lock(self, path: Path) -> None:
        at = path.stat().st_mtime
        read = self._yaml(path)
        # Before 2.0 the stages were at the top.
        stages = _mapping(read.get("stages")) if "schema" in read else read
        for name, stage in stages.items():
            if isinstance(stage, dict):
                self._stage(path, name, stage, at)

    def _stage(self, lock: Path, name: str, stage: Mapping[str, Any], at: float) -> None:
        uses = [(item, READ) for item in self._items(lock.parent, stage.get("deps"))]
        uses += [(item, WRITE) for item in self._items(lock.parent, stage.get("outs"))]
        # The same command on the same inputs with the same results is the same run, whoever asks again.
        place = os.fsencode(lock.parent.relative_to(self._root)).decode("utf-8", "replace")
        fingerprint = json.dumps(
            [place, name, stage.get("cmd"), stage.get("params"), [(i.path, i.md5) for i, _ in uses]]
        )
        run = f"{place}:{name}:{_short(fingerprint)}"
        command = stage.get("cmd")
        lines = [str(line) for line in command] if isinstance(command, list) else [str(command or "")]
        self._telling.tell(
            "run",
            id=run,
            project="project",
            state="DONE",
            result="ok",
            submitted_at=at,
            ended_at=at,
            request=request(
                name=printable(name, "stage"), argv=["sh", "-c", "\n".join(lines)], cwd=os.fspath(lock.parent)
            ),
            outcome=outcome("ok", reason=None, started_at=None, ended_at=at),
        )
        facts = {"stage": name, "params": stage.get("params") or {}, "file": place}
        self._telling.tell(
            "lineage", run=run, state="partial", reasons=NOT_OBSERVED, facts={"dvc": facts}, recorded_at=at
        )  # fmt: skip
        for item, modes in uses:
            version = self._version(item, at, made_by=run if modes == WRITE else None)
            if version is not None:
                self._telling.tell("edge", run=run, version=version, modes=modes)

    def _tracked(self, path: Path) -> None:
        read = self._yaml(path)
        wdir = path.parent / str(read.get("wdir") or ".")
        for item in self._items(wdir, read.get("outs")):
            self._version(item, path.stat().st_mtime, made_by=None)

    def _items(self, directory: Path, listed: Any) -> list[Item]:
        if not isinstance(listed, list):
            return []
        return [
            Item(
                self._absolute(directory, str(entry["path"])),
                entry.get("md5") or entry.get("etag") or entry.get("checksum"),
                _int(entry.get("size")),
                _int(entry.get("nfiles")),
            )
            for entry in listed
            if isinstance(entry, dict) and entry.get("path")
        ]

    def _version(self, item: Item, at: float, *, made_by: str | None) -> str | None:
        """The key of the version, told at its first sight; None where DVC itself does not know the content."""
        if item.md5 is None:
            self._telling.leave("dependencies and outputs that DVC has no checksum of")
            return None
        key = (item.path, item.md5)
        known = self._versions.get(key)
        if known is not None:
            return known
        if item.path not in self._resources:
            self._resources.add(item.path)
            role = self._roles.get(item.path) or ("code" if Path(item.path).suffix in _CODE else "dataset")
            self._telling.tell("resource", id=item.path, project="project", role=role, path=item.path)
        content = self._contents.find(item.path, item.md5, item.size) or Content(None, item.size or 0, 0, 0)
        version = self._versions[key] = f"{item.path}#{item.md5}"
        about = {"md5": item.md5, "files": item.files}
        self._telling.tell(
            "version",
            id=version,
            resource=item.path,
            digest=None if content.digest is None else content.digest.hex(),
            size=content.size,
            mtime_ns=content.mtime_ns,
            ctime_ns=content.ctime_ns,
            made_by=made_by,
            seen_at=at,
            header={"dvc": {name: value for name, value in about.items() if value is not None}},
        )
        return version

    def _model(self, number: int, path: str, about: Mapping[str, Any]) -> None:
        """A model of dvc.yaml, with each version of its file that DVC knows."""
        versions = [(md5, version) for (where, md5), version in self._versions.items() if where == path]
        if not versions:
            self._telling.leave("models that DVC has no checksum of")
            return
        key = f"model:{number}"
        name = printable(str(about["name"]), "model")
        self._telling.tell("model", id=key, project="project", name=name, resource=path)
        for _, version in versions:
            self._telling.tell(
                "model_version", model=key, version=version, digest=self._contents.digest_of(path, version)
            )

    def _yaml(self, path: Path) -> dict[str, Any]:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            text = file.read(LARGEST_FILE + 1)
        try:
            return _mapping(yaml_text.read(text))
        except ValueError:
            self._telling.leave("files of DVC's that cannot be read")
            return {}

    def _absolute(self, directory: Path, path: str) -> str:
        if "://" in path:
            return path
        return os.path.normpath(directory / path)


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _int(text: Any) -> int | None:
    """A size; what cannot be one is as good as none."""
    try:
        size = int(text)
    except (TypeError, ValueError):
        return None
    return size if 0 <= size < 1 << 63 else None


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
