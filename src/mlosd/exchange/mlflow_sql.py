"""MLflow's SQLite store (mlflow.db), of any version: what a table or a column is missing is taken as empty.

The store itself is only read, and only for as long as a copy takes: everything else looks at the copy.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw

from mlosd.core.errors import BadRequest, Refused
from mlosd.exchange.mlflow import READ, WRITE, Alias, Dataset, Experiment, LoggedModel, Metric, ModelVersion, Run, Use
from mlosd.exchange.telling import Telling

LARGEST = 64 << 30
_LOGGED_STATUS = {1: "PENDING", 2: "READY", 3: "FAILED"}
# MLflow indexes some of these; the copy is ours to index.
_INDEXES = {"params": "run_uuid", "tags": "run_uuid", "latest_metrics": "run_uuid", "metrics": "run_uuid, key"}


class SqlStore:
    """`path`: the file. `directory`: where the copy goes, which is removed by whoever made it."""

    def __init__(self, path: Path, directory: Path, telling: Telling) -> None:
        self._telling = telling
        size = path.stat().st_size
        if size > LARGEST:
            raise Refused(f"{path} has {size >> 30} GiB, more than the {LARGEST >> 30} that are read at once")
        self._store = _copy(path, directory / "mlflow.db")
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "synchronous=OFF", "journal_mode=OFF"):
            self._store.execute(f"PRAGMA {pragma}")
        self._columns = {
            str(table): [
                str(column) for (column,) in self._store.execute("SELECT name FROM pragma_table_info(?)", (table,))
            ]
            for (table,) in self._store.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        }
        if not {"experiments", "runs"} <= self._columns.keys():
            raise BadRequest(f"{path} is not a tracking store of MLflow", hint="give its mlflow.db, or its mlruns")
        for table, columns in _INDEXES.items():
            if table in self._columns:
                self._store.execute(f"CREATE INDEX IF NOT EXISTS mlosd_{table} ON {table} ({columns})")

    def experiments(self) -> Iterator[Experiment]:
        for row in self._rows("experiments", order="experiment_id"):
            if _is_deleted(row):
                self._telling.leave("experiments in MLflow's trash")
            elif row.get("workspace", "default") != "default":
                self._telling.leave("experiments of other workspaces than the default one")
            else:
                yield Experiment(str(row["experiment_id"]), str(row["name"]), row.get("creation_time"))

    def runs(self) -> Iterator[Run]:
        for row in self._rows("runs", order="start_time, run_uuid"):
            if _is_deleted(row):
                self._telling.leave("runs in MLflow's trash")
                continue
            id_ = str(row["run_uuid"])
            tags = self._pairs("tags", id_)
            yield Run(
                id=id_,
                experiment=str(row["experiment_id"]),
                name=tags.get("mlflow.runName") or row.get("name") or "",
                status=str(row.get("status") or "UNKNOWN"),
                user=tags.get("mlflow.user") or row.get("user_id") or "",
                source=tags.get("mlflow.source.name") or row.get("source_name") or "",
                started=row.get("start_time"),
                ended=row.get("end_time"),
                params=self._pairs("params", id_),
                metrics=self._metrics(id_),
                tags=tags,
            )

    def datasets(self) -> Iterator[Dataset]:
        for row in self._rows("datasets", order="dataset_uuid"):
            yield Dataset(
                id=str(row["dataset_uuid"]),
                experiment=str(row["experiment_id"]),
                name=str(row["name"]),
                digest=str(row["digest"]),
                source_type=str(row["dataset_source_type"]),
                source=str(row["dataset_source"]),
                schema=row.get("dataset_schema"),
                profile=row.get("dataset_profile"),
            )

    def uses(self) -> Iterator[Use]:
        tags: dict[str, dict[str, str]] = {}
        for row in self._rows("input_tags"):
            tags.setdefault(str(row["input_uuid"]), {})[str(row["name"])] = str(row["value"])
        for row in self._rows("inputs", order="rowid"):
            about = tags.get(str(row["input_uuid"]), {})
            source, destination = str(row["source_id"]), str(row["destination_id"])
            match row["source_type"], row["destination_type"]:
                case "DATASET", "RUN":
                    yield Use(destination, "dataset", source, READ, about)
                case _, "MODEL_INPUT":
                    yield Use(source, "model", destination, READ, about)
                case _, "MODEL_OUTPUT":
                    yield Use(source, "model", destination, WRITE, about)
                case _:
                    self._telling.leave(f"inputs of the kind {row['source_type']} -> {row['destination_type']}")

    def logged_models(self) -> Iterator[LoggedModel]:
        for row in self._rows("logged_models", order="creation_timestamp_ms, model_id"):
            if _is_deleted(row):
                self._telling.leave("logged models in MLflow's trash")
                continue
            id_ = str(row["model_id"])
            yield LoggedModel(
                id=id_,
                experiment=str(row["experiment_id"]),
                name=str(row["name"]),
                location=str(row["artifact_location"]),
                created=int(row["creation_timestamp_ms"]),
                run=row.get("source_run_id"),
                about={
                    "status": _LOGGED_STATUS.get(row.get("status") or 0),
                    "type": row.get("model_type"),
                    "params": self._named("logged_model_params", "param_key", "param_value", id_),
                    "tags": self._named("logged_model_tags", "tag_key", "tag_value", id_),
                },
            )

    def model_versions(self) -> Iterator[ModelVersion]:
        tags: dict[tuple[str, int], dict[str, str]] = {}
        for row in self._rows("model_version_tags"):
            tags.setdefault((str(row["name"]), int(row["version"])), {})[str(row["key"])] = str(row["value"])
        for row in self._rows("model_versions", order="name, version"):
            # The registry keeps a deleted version as a row that says so.
            if row.get("current_stage") == "Deleted_Internal":
                self._telling.leave("model versions in MLflow's trash")
                continue
            name, number = str(row["name"]), int(row["version"])
            yield ModelVersion(
                name=name,
                number=number,
                created=int(row.get("creation_time") or 0),
                stage=row.get("current_stage"),
                source=str(row.get("source") or row.get("storage_location") or f"{name}/{number}"),
                run=row.get("run_id") or None,
                about={
                    "description": row.get("description"),
                    "user": row.get("user_id"),
                    "status": row.get("status"),
                    "tags": tags.get((name, number), {}),
                },
            )

    def aliases(self) -> Iterator[Alias]:
        for row in self._rows("registered_model_aliases", order="name, alias"):
            yield Alias(str(row["name"]), str(row["alias"]), int(row["version"]))

    def _rows(
        self, table: str, *, order: str = "rowid", where: str = "", bindings: tuple[str, ...] = ()
    ) -> Iterator[dict[str, Any]]:
        columns = self._columns.get(table)
        if not columns:
            return
        names = ", ".join(f'"{column}"' for column in columns)
        order = order if order != "rowid" else "1"
        for row in self._store.execute(f"SELECT {names} FROM {table} {where} ORDER BY {order}", bindings):
            yield dict(zip(columns, row, strict=True))

    def _pairs(self, table: str, run: str) -> dict[str, str]:
        rows = self._rows(table, where="WHERE run_uuid = ?", bindings=(run,))
        return {str(row["key"]): str(row["value"]) for row in rows}

    def _named(self, table: str, key: str, value: str, model: str) -> dict[str, str]:
        rows = self._rows(table, where="WHERE model_id = ?", bindings=(model,))
        return {str(row[key]): str(row[value]) for row in rows}

    def _metrics(self, run: str) -> Mapping[str, Metric]:
        ranges: dict[str, tuple[int, float | None, float | None]] = {}
        if "metrics" in self._columns:
            for name, points, least, most in self._store.execute(
                "SELECT key, count(*), min(value) FILTER (WHERE NOT is_nan), max(value) FILTER (WHERE NOT is_nan)"
                " FROM metrics WHERE run_uuid = ? GROUP BY key",
                (run,),
            ):
                ranges[str(name)] = (points, least, most)
        found = {}
        for row in self._rows("latest_metrics", where="WHERE run_uuid = ?", bindings=(run,)):
            points, least, most = ranges.get(str(row["key"]), (1, None, None))
            last = float("nan") if row.get("is_nan") else float(row["value"])
            found[str(row["key"])] = Metric(last, int(row["step"]), int(row["timestamp"] or 0), points, least, most)
        return found


def _is_deleted(row: Mapping[str, Any]) -> bool:
    return row.get("lifecycle_stage") == "deleted"


def _copy(path: Path, to: Path) -> apsw.Connection:
    """The store as it is now. MLflow may go on writing: it waits for the copy, and for nothing else."""
    copy = apsw.Connection(os.fspath(to))
    try:
        with apsw.Connection(
            f"file:{_quoted(path)}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        ) as source:
            source.set_busy_timeout(10_000)
            with copy.backup("main", source, "main") as backup:
                backup.step(-1)
    except apsw.NotADBError as e:
        raise BadRequest(f"{path} is not an SQLite database", hint="give MLflow's mlflow.db, or its mlruns") from e
    except apsw.Error as e:
        raise Refused(f"{path}: {e}", hint="stop what writes to it, and try again") from e
    return copy


def _quoted(path: Path) -> str:
    # https://sqlite.org/uri.html
    return os.fspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
