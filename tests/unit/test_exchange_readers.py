"""What MLflow and DVC keep, as records. The stores in tests/data were written by the tools themselves."""

import json
import os
import sqlite3
from pathlib import Path

import pytest
from tests.fakes.exchange import dvc_project, left, mlflow_db, mlruns, of_kind, told
from tests.fakes.tree import materialize

from mlosd.core.errors import BadRequest
from mlosd.exchange import dvc, read, yaml_text
from mlosd.exchange.telling import local_path

MD5 = {"first": "e5ebd4c02cefbe7955977c67ada242b7", "second": "263017bc55909bfdede3cdb6069a6731"}


@pytest.fixture(params=[mlflow_db, mlruns], ids=["sqlite", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store of either kind, with the same in it."""
    found: Path = request.param(tmp_path)
    return found


def test_both_stores_of_mlflow_tell_the_same(store: Path) -> None:
    found = told("mlflow", lambda telling: read.read_mlflow(store, telling))
    assert [project["name"] for project in of_kind(found, "project")] == ["Default", "flights"]
    results = {run["request"]["name"]: run["result"] for run in of_kind(found, "run")}
    unnamed = (set(results) - {"first", "second", "child", "broken", "still running"}).pop()
    assert results == {
        "first": "ok", "second": "ok", "child": "ok", "broken": "failed", "still running": "lost", unnamed: "lost",
    }  # fmt: skip
    assert left(found) == {"runs in MLflow's trash": 1}
    [first] = [run for run in of_kind(found, "run") if run["request"]["name"] == "first"]
    assert first["request"]["argv"] == ["train.py"]
    [lineage] = [lineage for lineage in of_kind(found, "lineage") if lineage["run"] == first["id"]]
    assert (lineage["state"], lineage["reasons"]) == ("partial", ["declared by MLflow, not observed"])
    facts = lineage["facts"]["mlflow"]
    assert facts["params"] == {"alpha": "0.5", "layers/hidden": "64\n32"}
    assert facts["tags"]["team"] == "caf\u00e9"
    assert facts["metrics"]["loss/val"]["last"] == "nan"
    rmse = facts["metrics"]["rmse"]
    assert (rmse["last"], rmse["step"], rmse["points"], rmse["least"], rmse["most"]) == (1.0, 2, 3, 1.0, 3.0)


def test_datasets_of_mlflow_are_read_by_the_runs_that_said_so(store: Path) -> None:
    found = told("mlflow", lambda telling: read.read_mlflow(store, telling))
    [dataset] = [resource for resource in of_kind(found, "resource") if resource["role"] == "dataset"]
    assert dataset["path"] == "/srv/data/flights.csv"
    [version] = [version for version in of_kind(found, "version") if version["resource"] == dataset["id"]]
    assert version["header"]["mlflow"]["digest"] == "55b2884a"
    assert version["header"]["mlflow"]["profile"] == {"num_rows": 2, "num_elements": 4}
    edges = [edge for edge in of_kind(found, "edge") if edge["version"] == version["id"]]
    assert [edge["modes"] for edge in edges] == [1, 1]


def test_registered_models_of_mlflow_keep_numbers_aliases_and_stages(store: Path) -> None:
    found = told("mlflow", lambda telling: read.read_mlflow(store, telling))
    [model] = of_kind(found, "model")
    assert model["name"] == "delays"
    assert [version["number"] for version in of_kind(found, "model_version")] == [1, 2]
    aliases = {alias["alias"]: (alias["number"], alias["reason"]) for alias in of_kind(found, "alias")}
    assert aliases == {
        "champion": (1, "imported from MLflow"),
        "production": (2, "imported from MLflow (stage production)"),
    }
    written = [edge["version"] for edge in of_kind(found, "edge") if edge["modes"] == 2]
    assert "registered:delays/1" in written


def test_models_of_mlflow_3_are_written_by_their_run(tmp_path: Path) -> None:
    store = mlflow_db(tmp_path)
    found = told("mlflow", lambda telling: read.read_mlflow(store, telling))
    [version] = [version for version in of_kind(found, "version") if version["id"].startswith("model:")]
    assert version["header"]["mlflow"] == {
        "name": "delays-net",
        "model_id": version["id"].removeprefix("model:"),
        "status": "READY",
        "type": "net",
        "params": {"depth": "3"},
        "tags": {"k": "v"},
    }
    assert [edge["modes"] for edge in of_kind(found, "edge") if edge["version"] == version["id"]] == [2]


def test_the_store_is_only_read(tmp_path: Path) -> None:
    store = mlflow_db(tmp_path)
    before = (store.read_bytes(), store.stat().st_mtime_ns, sorted(tmp_path.iterdir()))
    told("mlflow", lambda telling: read.read_mlflow(tmp_path, telling))
    assert (store.read_bytes(), store.stat().st_mtime_ns, sorted(tmp_path.iterdir())) == before


def test_what_a_running_mlflow_has_not_checkpointed_is_read_too(tmp_path: Path) -> None:
    store = sqlite3.connect(mlflow_db(tmp_path))
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("UPDATE experiments SET name = 'renamed' WHERE name = 'flights'")
    store.commit()
    found = told("mlflow", lambda telling: read.read_mlflow(tmp_path / "mlflow.db", telling))
    store.close()
    assert [project["name"] for project in of_kind(found, "project")] == ["Default", "renamed"]


def test_a_store_of_an_old_mlflow_lacks_tables_and_columns(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        store.executescript(
            "CREATE TABLE experiments (experiment_id INTEGER, name TEXT, lifecycle_stage TEXT);"
            "CREATE TABLE runs (run_uuid TEXT, experiment_id INTEGER, status TEXT, start_time BIGINT, end_time BIGINT);"
            "INSERT INTO experiments VALUES (0, 'Default', 'active');"
            "INSERT INTO runs VALUES ('abc', 0, 'FINISHED', 1000, 2000);"
        )
    store.close()
    found = told("mlflow", lambda telling: read.read_mlflow(tmp_path, telling))
    assert [(run["id"], run["submitted_at"]) for run in of_kind(found, "run")] == [("abc", 1.0)]


@pytest.mark.parametrize(
    ("name", "content"), [("mlflow.db", b"no database"), ("mlflow.db", b""), ("other", b"x" * 9999)]
)
def test_what_is_no_store_of_mlflow_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRequest, match="is not"):
        told("mlflow", lambda telling: read.read_mlflow(tmp_path / name, telling))


def test_damaged_files_of_mlflow_are_counted_not_guessed(tmp_path: Path) -> None:
    store = mlruns(tmp_path)
    [metric] = store.glob("*/*/metrics/rmse")
    metric.write_text("now or never\n")
    param = next(store.glob("*/*/params/alpha"))
    param.unlink()
    param.symlink_to("/etc/hostname")
    for experiment in store.glob("*/datasets/*/meta.yaml"):
        experiment.write_text("a: [")
    found = told("mlflow", lambda telling: read.read_mlflow(tmp_path, telling))
    assert left(found) == {
        "runs in MLflow's trash": 1,
        "metrics that cannot be read": 1,
        "parameters and tags that cannot be read": 1,
        "meta.yaml files that cannot be read": 1,
    }


def test_stages_of_dvc_are_runs_with_what_they_read_and_wrote(tmp_path: Path) -> None:
    root = dvc_project(tmp_path / "dvc")
    found = told("dvc", lambda telling: dvc.tell(root, telling))
    runs = {run["request"]["name"]: run for run in of_kind(found, "run")}
    assert set(runs) == {"prepare", "train"}
    assert runs["train"]["request"]["argv"][2].startswith("cat prepared/clean.csv > model.bin\n")
    assert runs["prepare"]["request"]["argv"][2].endswith('that is folded by the writer of the lock file"')
    edges = {
        (os.path.relpath(edge["version"].partition("#")[0], root), edge["modes"])
        for edge in of_kind(found, "edge")
        if edge["run"] == runs["train"]["id"]
    }
    assert edges == {("prepared/clean.csv", 1), ("src/train.py", 1), ("model.bin", 2), ("metrics.json", 2)}
    assert left(found) == {"stages that never ran": 1, "directories whose files were not read": 2}


def test_versions_of_dvc_have_both_digests_where_the_content_is_there(tmp_path: Path) -> None:
    import hashlib

    root = dvc_project(tmp_path / "dvc")
    found = told("dvc", lambda telling: dvc.tell(root, telling))
    path = str(root / "data/flights.csv")
    versions = {v["header"]["dvc"]["md5"]: v for v in of_kind(found, "version") if v["resource"] == path}
    assert set(versions) == set(MD5.values())
    old, new = versions[MD5["first"]], versions[MD5["second"]]
    # The old one is only in the cache, the new one in the workspace, with its times.
    assert (old["digest"], old["mtime_ns"]) == (hashlib.sha256(b"a,b\n1,2\n").hexdigest(), 0)
    assert (new["digest"], new["mtime_ns"]) == (
        hashlib.sha256(b"a,b\n3,45\n").hexdigest(),
        (root / "data/flights.csv").stat().st_mtime_ns,
    )
    roles = {os.path.relpath(r["path"], root): r["role"] for r in of_kind(found, "resource")}
    assert (roles["model.bin"], roles["src/train.py"], roles["data/raw"]) == ("model", "code", "dataset")
    assert [model["name"] for model in of_kind(found, "model")] == ["delays"]


def test_a_cache_of_dvc_that_is_damaged_or_gone_is_said(tmp_path: Path) -> None:
    root = dvc_project(tmp_path / "dvc")
    (root / ".dvc/cache/files/md5/e5/ebd4c02cefbe7955977c67ada242b7").write_text("tampered")
    (root / "prepared/clean.csv").unlink()
    (root / "metrics.json").unlink()
    (root / ".dvc/cache/files/md5/b6/f9e2cc5b104f84598996507f4f7356").unlink()
    found = told("dvc", lambda telling: dvc.tell(root, telling))
    assert left(found)["files in the cache that are not what their name says"] >= 1
    assert left(found)["files whose content is neither in the workspace nor in the cache"] >= 1
    by_path = {os.path.relpath(v["resource"], root): v for v in of_kind(found, "version")}
    assert "digest" not in by_path["metrics.json"]


def test_a_size_that_cannot_be_one_is_not_believed(tmp_path: Path) -> None:
    root = materialize(tmp_path / "dvc", {".dvc/config": "", "dvc.yaml": "stages: {a: {cmd: x}}\n"})
    outs = ", ".join(f"{{path: {name}, md5: {name * 32}, size: {size}}}" for name, size in (("a", -5), ("b", 10**30)))
    (root / "dvc.lock").write_text(f"schema: '2.0'\nstages: {{a: {{cmd: x, outs: [{outs}]}}}}\n")
    found = told("dvc", lambda telling: dvc.tell(root, telling))
    assert [version["size"] for version in of_kind(found, "version")] == [0, 0]


def test_a_directory_that_is_no_dvc_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="is not a DVC project"):
        told("dvc", lambda telling: dvc.tell(tmp_path, telling))


def test_yaml_is_strings_alone() -> None:
    text = b"md5: 12345678901234567890123456789012\non: off\nwhen: 2020-01-01\nnothing:\nmerged: {a: [1, ~]}\n"
    assert yaml_text.read(text) == {
        "md5": "12345678901234567890123456789012",
        "on": "off",
        "when": "2020-01-01",
        "nothing": "",
        "merged": {"a": ["1", "~"]},
    }
    assert yaml_text.read(b"a: !!python/object/apply:os.system ['true']") == {"a": ["true"]}
    assert yaml_text.read(b"a: &x [1]\nb: *x\n--- second") == {"a": ["1"], "b": ["1"]}
    assert yaml_text.read(b"") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[" * 100_000, "nested deeper|nesting depth"),
        (b"a: [", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"*x", "not YAML|alias"),
    ],
)
def test_yaml_that_is_none_is_an_error_and_no_crash(text: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        yaml_text.read(text)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///srv/a%20b", "/srv/a b"),
        ("/srv/../etc", "/etc"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("mlflow-artifacts:/0/x", "mlflow-artifacts:/0/x"),
    ],
)
def test_a_uri_is_a_path_where_it_means_one_and_never_tells_a_password(uri: str, path: str) -> None:
    assert local_path(uri) == path


def test_the_reader_says_in_one_line_why_it_cannot(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert read.main(["mlflow", str(tmp_path / "nothing")]) == os.EX_NOINPUT
    assert json.loads(capfd.readouterr().err)["error"].startswith("there is no ")
