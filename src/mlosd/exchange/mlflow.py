"""An MLflow tracking store as records: experiments become projects, runs runs, datasets and models resources.

What MLflow was told is what is told here. It did not see any file being read: all of it is `partial`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mlosd.exchange.telling import Telling, local_path, outcome, printable, request

READ, WRITE = 1, 2
NOT_OBSERVED = ["declared by MLflow, not observed"]
_RESULTS = {"FINISHED": "ok", "FAILED": "failed", "KILLED": "killed"}
_STAGES = ("Production", "Staging")


@dataclass(frozen=True, slots=True)
class Experiment:
    """Times are milliseconds, here and below, as MLflow has them."""

    id: str
    name: str
    created: int | None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a run. `least` and `most`: of all its points that are numbers."""

    last: float
    step: int
    at: int
    points: int
    least: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is not in MLflow's trash."""

    id: str
    experiment: str
    name: str
    status: str
    user: str
    source: str
    started: int | None
    ended: int | None
    params: Mapping[str, str]
    metrics: Mapping[str, Metric]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that a run was told to have read; `source` is JSON."""

    id: str
    experiment: str
    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model as MLflow 3 has them: beside runs, not in a registry."""

    id: str
    experiment: str
    name: str
    location: str
    created: int
    run: str | None
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Use:
    """A run read a dataset, or read or made a model. `of`: "dataset" or "model"."""

    run: str
    of: str
    id: str
    modes: int
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a registered model."""

    name: str
    number: int
    created: int
    stage: str | None
    source: str
    run: str | None
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a version of a registered model."""

    model: str
    alias: str
    number: int


class Store(Protocol):
    """A store of either kind. Things in MLflow's trash are counted, not told."""

    def experiments(self) -> Iterator[Experiment]: ...
    def datasets(self) -> Iterator[Dataset]: ...
    def runs(self) -> Iterator[Run]: ...
    def logged_models(self) -> Iterator[LoggedModel]: ...
    def uses(self) -> Iterator[Use]: ...
    def model_versions(self) -> Iterator[ModelVersion]: ...
    def aliases(self) -> Iterator[Alias]: ...


def tell(store: Store, telling: Telling) -> None:
    """All of a store."""
    _Tell(store, telling).everything()


class _Tell:
    def __init__(self, store: Store, telling: Telling) -> None:
        self._store = store
        self._telling = telling
        self._project_of_run: dict[str, str] = {}
        self._first_use: dict[str, float] = {}
        self._uses: dict[str, list[Use]] = {}
        self._model_ids: set[str] = set()
        self._telling_of_registry = False

    def everything(self) -> None:
        for experiment in self._store.experiments():
            name = printable(experiment.name, "experiment")
            self._telling.tell(
                "project",
                id=_project(experiment.id),
                name="mlflow" if name == "-" else name,
                root=f"mlflow:{name}",
                added_at=_seconds(experiment.created),
            )
        for use in self._store.uses():
            self._uses.setdefault(use.run, []).append(use)
        for run in self._store.runs():
            self._run(run)
        for dataset in self._store.datasets():
            self._dataset(dataset)
        for model in self._store.logged_models():
            self._logged_model(model)
        for run_id, uses in self._uses.items():
            for use in uses:
                if run_id in self._project_of_run:
                    self._telling.tell("edge", run=run_id, version=f"{use.of}:{use.id}", modes=use.modes)
        self._registry()

    def _run(self, run: Run) -> None:
        started = _seconds(run.started) or 0.0
        ended = _seconds(run.ended)
        result = _RESULTS.get(run.status, "lost")
        reason = None if run.status in _RESULTS else f"MLflow calls it {run.status.lower()}: nobody saw its end"
        name = printable(run.name or run.id, run.id)
        asked = request(name=name, argv=[run.source] if run.source else [])
        ended = max(started, ended if ended is not None else started)
        self._project_of_run[run.id] = _project(run.experiment)
        for use in self._uses.get(run.id, ()):
            key = f"{use.of}:{use.id}"
            self._first_use[key] = min(started, self._first_use.get(key, started))
        self._telling.tell(
            "run",
            id=run.id,
            project=_project(run.experiment),
            state="DONE",
            result=result,
            submitted_at=started,
            ended_at=ended,
            request=asked,
            outcome=outcome(result, reason=reason, started_at=started, ended_at=ended),
        )
        self._telling.tell(
            "lineage",
            run=run.id,
            state="partial",
            reasons=NOT_OBSERVED,
            facts={"mlflow": self._facts(run)},
            recorded_at=ended,
        )
        self._telling.leave(
            "points of metrics besides the last, the least and the largest",
            sum(max(0, metric.points - 3) for metric in run.metrics.values()),
        )

    def _facts(self, run: Run) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "run_id": run.id,
            "experiment": run.experiment,
            "user": run.user,
            "params": dict(run.params),
            "metrics": {name: _metric(metric) for name, metric in run.metrics.items()},
            "tags": dict(run.tags),
        }
        if inputs := [{"id": use.id, **use.tags} for use in self._uses.get(run.id, ()) if use.tags]:
            facts["inputs"] = inputs
        return facts

    def _dataset(self, dataset: Dataset) -> None:
        key = f"dataset:{dataset.id}"
        header = {
            "name": dataset.name,
            "digest": dataset.digest,
            "source_type": dataset.source_type,
            "source": _parsed(dataset.source),
            "schema": _parsed(dataset.schema),
            "profile": _parsed(dataset.profile),
        }
        path = _dataset_path(header["source"]) or dataset.name
        self._resource(key, _project(dataset.experiment), "dataset", path)
        self._version(key, key, header, seen_at=self._first_use.get(key, 0.0), made_by=None)

    def _logged_model(self, model: LoggedModel) -> None:
        key = f"model:{model.id}"
        self._model_ids.add(key)
        header = {"name": model.name, "model_id": model.id, **model.about}
        self._resource(key, _project(model.experiment), "model", local_path(model.location))
        self._version(key, key, header, seen_at=_seconds(model.created) or 0.0, made_by=model.run)
        made = any(use.id == model.id and use.modes & WRITE for use in self._uses.get(model.run or "", ()))
        if model.run in self._project_of_run and not made:
            self._telling.tell("edge", run=model.run, version=key, modes=WRITE)

    def _registry(self) -> None:
        versions = list(self._store.model_versions())
        projects: dict[str, str] = {}
        for version in versions:
            if version.run in self._project_of_run:
                projects.setdefault(version.name, self._project_of_run[version.run])
        aliases = [(alias.model, alias.alias, alias.number, "imported from MLflow") for alias in self._store.aliases()]
        aliases += _stages(versions, {(model, alias) for model, alias, _, _ in aliases})
        created = {(version.name, version.number): _seconds(version.created) or 0.0 for version in versions}
        for name in dict.fromkeys(version.name for version in versions):
            first = min(at for (model, _), at in created.items() if model == name)
            project = projects[name] = projects.get(name) or self._registry_project()
            self._telling.tell("model", id=name, project=project, name=printable(name, "model"), added_at=first)
        for version in versions:
            self._model_version(version, projects[version.name])
        for model, alias, number, reason in sorted(aliases, key=lambda told: created.get((told[0], told[2]), 0.0)):
            at = created.get((model, number))
            if at is None:
                self._telling.leave("aliases of versions that are gone")
                continue
            alias = printable(alias, "alias")
            self._telling.tell("alias", model=model, alias=alias, number=number, reason=reason, at=at)

    def _registry_project(self) -> str:
        """The project of models that no run of this store made."""
        if not self._telling_of_registry:
            self._telling_of_registry = True
            self._telling.tell("project", id="registry", name="mlflow", root="mlflow:")
        return "registry"

    def _model_version(self, version: ModelVersion, project: str) -> None:
        logged = f"model:{version.source.removeprefix('models:/')}"
        key = f"registered:{version.name}/{version.number}"
        at = _seconds(version.created) or 0.0
        if logged in self._model_ids:
            key = logged
        else:
            header = {"source": version.source, "stage": version.stage, **version.about}
            self._resource(f"source:{version.source}", project, "model", local_path(version.source))
            self._version(key, f"source:{version.source}", header, seen_at=at, made_by=version.run)
            if version.run in self._project_of_run:
                self._telling.tell("edge", run=version.run, version=key, modes=WRITE)
        self._telling.tell("model_version", model=version.name, number=version.number, version=key, added_at=at)

    def _resource(self, key: str, project: str, role: str, path: str) -> None:
        self._telling.tell("resource", id=key, project=project, role=role, path=path.replace("\0", "") or "unnamed")

    def _version(
        self, key: str, resource: str, header: Mapping[str, Any], *, seen_at: float, made_by: str | None
    ) -> None:
        about = {name: value for name, value in header.items() if value not in (None, "")}
        self._telling.tell(
            "version", id=key, resource=resource, header={"mlflow": about}, seen_at=seen_at, made_by=made_by
        )


def _stages(versions: list[ModelVersion], taken: set[tuple[str, str]]) -> list[tuple[str, str, int, str]]:
    """What MLflow called stages, as aliases: the newest version in each."""
    found: dict[tuple[str, str], int] = {}
    for version in versions:
        alias = (version.stage or "").lower()
        if version.stage in _STAGES and (version.name, alias) not in taken:
            found[version.name, alias] = max(version.number, found.get((version.name, alias), 0))
    return [
        (model, alias, number, f"imported from MLflow (stage {alias})") for (model, alias), number in found.items()
    ]  # fmt: skip


def _project(experiment: str) -> str:
    return f"experiment:{experiment}"


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else max(0.0, milliseconds / 1000)


def _metric(metric: Metric) -> dict[str, Any]:
    told = {
        "last": _number(metric.last),
        "step": metric.step,
        "at": metric.at / 1000,
        "points": metric.points,
        "least": _number(metric.least),
        "most": _number(metric.most),
    }
    return {name: value for name, value in told.items() if value is not None}


def _number(value: float | None) -> float | str | None:
    """JSON has no NaN and no infinity."""
    if value is None or value - value == 0:
        return value
    return str(value)


def _parsed(text: str | None) -> Any:
    """MLflow keeps JSON in columns of text."""
    try:
        return None if text is None else json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def _dataset_path(source: Any) -> str | None:
    """Where a dataset lies, as far as its source says: each kind of source says it in its own way."""
    if not isinstance(source, dict):
        return None
    for name in ("uri", "path", "url", "table_name", "tags"):
        if isinstance(found := source.get(name), str) and found:
            return local_path(found)
    return None
