"""MLflow's file store (a directory mlruns), which MLflow itself reads no more since 3.13.

Sizes are bounded, symbolic links are not followed, and YAML is read as strings alone.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlosd.core.errors import BadRequest
from mlosd.exchange import yaml_text
from mlosd.exchange.mlflow import READ, WRITE, Alias, Dataset, Experiment, LoggedModel, Metric, ModelVersion, Run, Use
from mlosd.exchange.telling import Telling

LARGEST_VALUE = 1 << 20
LARGEST_METRIC = 256 << 20
_META = "meta.yaml"
_TRASH = ".trash"
_REGISTRY = "models"
# RunStatus and LoggedModelStatus of MLflow's service.proto.
_STATUS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_LOGGED_STATUS = {"1": "PENDING", "2": "READY", "3": "FAILED"}


class FileStore:
    """`path`: the directory that has the experiments."""

    def __init__(self, path: Path, telling: Telling) -> None:
        self._path = path
        self._telling = telling
        self._experiments = [
            directory for directory in _directories(path) if directory.name != _REGISTRY and _has_meta(directory)
        ]
        if not self._experiments and not (path / _REGISTRY).is_dir():
            raise BadRequest(f"{path} has no experiments of MLflow in it", hint="give its mlruns, or its mlflow.db")
        trashed = path / _TRASH
        telling.leave("experiments in MLflow's trash", sum(1 for _ in _directories(trashed)))

    def experiments(self) -> Iterator[Experiment]:
        for directory in self._experiments:
            meta = self._meta(directory)
            if meta.get("lifecycle_stage") == "deleted":
                self._telling.leave("experiments in MLflow's trash")
            else:
                yield Experiment(directory.name, meta.get("name") or directory.name, _int(meta.get("creation_time")))

    def runs(self) -> Iterator[Run]:
        found = [(self._meta(run), run) for run in self._run_directories()]
        for meta, run in sorted(found, key=lambda one: (_int(one[0].get("start_time")) or 0, one[1].name)):
            if meta.get("lifecycle_stage") == "deleted":
                self._telling.leave("runs in MLflow's trash")
                continue
            tags = self._values(run / "tags")
            yield Run(
                id=run.name,
                experiment=run.parent.name,
                name=tags.get("mlflow.runName") or meta.get("run_name") or "",
                status=_STATUS.get(meta.get("status") or "", meta.get("status") or "UNKNOWN"),
                user=tags.get("mlflow.user") or meta.get("user_id") or "",
                source=tags.get("mlflow.source.name") or meta.get("source_name") or "",
                started=_int(meta.get("start_time")),
                ended=_int(meta.get("end_time")),
                params=self._values(run / "params"),
                metrics=self._metrics(run / "metrics"),
                tags=tags,
            )

    def datasets(self) -> Iterator[Dataset]:
        for experiment in self._experiments:
            for directory in _directories(experiment / "datasets"):
                meta = self._meta(directory)
                yield Dataset(
                    id=directory.name,
                    experiment=experiment.name,
                    name=meta.get("name") or directory.name,
                    digest=meta.get("digest") or "",
                    source_type=meta.get("source_type") or "",
                    source=meta.get("source") or "",
                    schema=_none(meta.get("schema")),
                    profile=_none(meta.get("profile")),
                )

    def uses(self) -> Iterator[Use]:
        for run in self._run_directories():
            for directory in _directories(run / "inputs"):
                meta = self._meta(directory)
                tags = meta.get("tags")
                about = {str(k): str(v) for k, v in tags.items()} if isinstance(tags, dict) else {}
                if meta.get("source_type") == "DATASET":
                    yield Use(run.name, "dataset", str(meta.get("source_id")), READ, about)
                elif meta.get("destination_type") == "MODEL_INPUT":
                    yield Use(run.name, "model", str(meta.get("destination_id")), READ, about)
            for directory in _directories(run / "outputs"):
                meta = self._meta(directory)
                yield Use(run.name, "model", str(meta.get("destination_id") or directory.name), WRITE, {})

    def logged_models(self) -> Iterator[LoggedModel]:
        for experiment in self._experiments:
            for directory in _directories(experiment / "models"):
                meta = self._meta(directory)
                if meta.get("lifecycle_stage") == "deleted":
                    self._telling.leave("logged models in MLflow's trash")
                    continue
                yield LoggedModel(
                    id=directory.name,
                    experiment=experiment.name,
                    name=meta.get("name") or directory.name,
                    location=meta.get("artifact_location") or os.fspath(directory / "artifacts"),
                    created=_int(meta.get("creation_timestamp")) or 0,
                    run=_none(meta.get("source_run_id")),
                    about={
                        "status": _LOGGED_STATUS.get(meta.get("status") or ""),
                        "type": _none(meta.get("model_type")),
                        "params": self._values(directory / "params"),
                        "tags": self._values(directory / "tags"),
                    },
                )

    def model_versions(self) -> Iterator[ModelVersion]:
        for model in _directories(self._path / _REGISTRY):
            name = self._meta(model).get("name") or model.name
            for directory in _directories(model):
                number = _int(directory.name.removeprefix("version-"))
                if not directory.name.startswith("version-") or number is None:
                    continue
                meta = self._meta(directory)
                if meta.get("current_stage") == "Deleted_Internal":
                    self._telling.leave("model versions in MLflow's trash")
                    continue
                yield ModelVersion(
                    name=name,
                    number=number,
                    created=_int(meta.get("creation_timestamp")) or 0,
                    stage=_none(meta.get("current_stage")),
                    source=_none(meta.get("source")) or _none(meta.get("storage_location")) or f"{name}/{number}",
                    run=_none(meta.get("run_id")),
                    about={
                        "description": _none(meta.get("description")),
                        "user": _none(meta.get("user_id")),
                        "status": _none(meta.get("status")),
                        "tags": self._values(directory / "tags"),
                    },
                )

    def aliases(self) -> Iterator[Alias]:
        for model in _directories(self._path / _REGISTRY):
            name = self._meta(model).get("name") or model.name
            for alias, value in self._values(model / "aliases").items():
                number = _int(value.strip())
                if number is not None:
                    yield Alias(name, alias, number)

    def _run_directories(self) -> Iterator[Path]:
        for experiment in self._experiments:
            for directory in _directories(experiment):
                if directory.name not in ("datasets", "models", "tags", "traces") and _has_meta(directory):
                    yield directory

    def _meta(self, directory: Path) -> dict[str, Any]:
        """meta.yaml as strings; nothing, and a count, where it cannot be read."""
        try:
            read = yaml_text.read(_bytes(directory / _META, LARGEST_VALUE))
        except (OSError, ValueError):
            self._telling.leave("meta.yaml files that cannot be read")
            return {}
        return read if isinstance(read, dict) else {}

    def _values(self, directory: Path) -> dict[str, str]:
        """Files as names and values; a name with a slash is a file in a directory."""
        found = {}
        for name, path in _files(directory):
            try:
                found[name] = _bytes(path, LARGEST_VALUE).decode("utf-8", "replace")
            except (OSError, ValueError):
                self._telling.leave("parameters and tags that cannot be read")
        return found

    def _metrics(self, directory: Path) -> Mapping[str, Metric]:
        found = {}
        for name, path in _files(directory):
            try:
                metric = _metric(_bytes(path, LARGEST_METRIC))
            except (OSError, ValueError):
                metric = None
            if metric is None:
                self._telling.leave("metrics that cannot be read")
            else:
                found[name] = metric
        return found


def _metric(text: bytes) -> Metric | None:
    """Lines of "timestamp value step"; the last is the one with the highest step, then time, then value."""
    points = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 2:
            points.append((int(fields[2]) if len(fields) > 2 else 0, int(fields[0]), float(fields[1])))
    if not points:
        return None
    step, at, last = max(points)
    numbers = [value for _, _, value in points if value == value]  # noqa: PLR0124 - NaN is not itself
    return Metric(last, step, at, len(points), min(numbers, default=None), max(numbers, default=None))


def _directories(path: Path) -> Iterator[Path]:
    """The directories in a directory, by name; none in one that is not there."""
    try:
        with os.scandir(path) as entries:
            names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (path / name for name in names)


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    for directory, below, names in os.walk(path, followlinks=False):
        below.sort()
        for name in sorted(names):
            file = Path(directory, name)
            yield os.fsencode(file.relative_to(path)).decode("utf-8", "replace"), file


def _bytes(path: Path, largest: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"{path} is larger than {largest} bytes")
    return data


def _has_meta(directory: Path) -> bool:
    return (directory / _META).is_file()


def _int(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None


def _none(text: str | None) -> str | None:
    return None if text in (None, "", "null", "None", "~") else text
