"""Everything in and out through the real daemon and the real command line."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import Mlosd
from tests.fakes.exchange import dvc_project, mlflow_db, mlruns, of_kind, records, run, sealed
from tests.fakes.tree import materialize

import mlosd.snapshot
from mlosd.cli import import_, main
from mlosd.core.errors import BadRequest, MlosError, NotFound
from mlosd.exchange import sealed as sealed_records
from mlosd.exchange import telling


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a name that is not UTF-8 in it."""
    root = materialize(tmp_path.resolve() / "flights", {"train.py": "print()", "data/a.csv": "a\n1\n"})
    (root / "data" / os.fsdecode(b"caf\xe9.csv")).write_text("x\n")
    return root


def mlosctl(daemon: Mlosd, *words: str) -> int:
    return main.run(["--root", str(daemon.root), *words])


def exported(daemon: Mlosd, path: Path, *words: str) -> list[dict[str, Any]]:
    """What `mlosctl export` writes, without the times at which it was written."""
    assert mlosctl(daemon, "export", "-o", str(path), *words) == 0
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("made_at", "store")} for line in lines]


def test_everything_goes_out_and_into_an_empty_daemon_as_it_was(mlosd: Mlosd, project: Path, tmp_path: Path) -> None:
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    mlosd.wait(mlosd.submit("cat", str(project / "data/a.csv"), project="flights"))
    mlosd.wait(mlosd.submit("false"))
    assert mlosctl(mlosd, "import", "mlflow", str(mlflow_db(tmp_path))) == 0
    assert mlosctl(mlosd, "import", "dvc", str(dvc_project(tmp_path / "dvc"))) == 0
    before = exported(mlosd, tmp_path / "first.jsonl")
    kinds = {record["kind"] for record in before}
    assert kinds >= {"project", "resource", "object", "binding", "run", "lineage", "version", "edge", "model", "alias"}
    assert b"caf\xe9".hex() in (tmp_path / "first.jsonl").read_text("ascii")
    with Mlosd(tmp_path / "empty") as empty:
        assert mlosctl(empty, "import", "mlosd", str(tmp_path / "first.jsonl")) == 0
        assert exported(empty, tmp_path / "second.jsonl") == before
        # And once more, which adds nothing; also not after a restart.
        empty.stop()
        empty.start()
        assert mlosctl(empty, "import", "mlosd", str(tmp_path / "first.jsonl")) == 0
        assert exported(empty, tmp_path / "third.jsonl") == before
        assert empty.submit("true") > max(int(record["id"]) for record in of_kind(before, "run"))
        jobs = empty.call("io.mlosd.Jobs.List", all=True)["jobs"]
        assert {job["result"] for job in jobs} >= {"ok", "failed", "lost"}


@pytest.mark.parametrize("kind", [mlflow_db, mlruns], ids=["sqlite", "files"])
def test_mlflow_comes_in_once_however_often_it_is_imported(
    mlosd: Mlosd, tmp_path: Path, kind: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    store = kind(tmp_path)
    assert mlosctl(mlosd, "import", "mlflow", str(store), "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["added"]["run"], first["left"]) == (6, {"runs in MLflow's trash": 1})
    assert mlosctl(mlosd, "import", "mlflow", str(store), "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["added"], again["known"]["run"]) == ({}, 6)
    assert {one["name"] for one in mlosd.call("io.mlosd.Projects.List")["projects"]} == {"Default", "flights"}
    [first_run] = [job for job in mlosd.call("io.mlosd.Jobs.List", all=True)["jobs"] if job["name"] == "first"]
    assert (first_run["result"], first_run["project"], first_run["argv"]) == ("ok", "flights", ["train.py"])


def test_a_dvc_project_comes_into_the_project_that_has_its_files(
    mlosd: Mlosd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = dvc_project(tmp_path.resolve() / "flights")
    assert mlosctl(mlosd, "import", "dvc", str(root)) == 0
    assert "added the project flights" in capsys.readouterr().err
    assert mlosctl(mlosd, "import", "dvc", str(root), "--json") == 0
    assert json.loads(capsys.readouterr().out)["added"] == {}
    found = exported(mlosd, tmp_path / "out.jsonl", "--project", "flights")
    [model] = of_kind(found, "model")
    assert model["name"] == "delays"
    paths = [resource["path"] for resource in of_kind(found, "resource")]
    assert {"data/flights.csv", "model.bin", "src/train.py"} <= set(paths)
    assert len(paths) == len(set(paths))


def test_a_snapshot_is_mapped_without_the_daemon(mlosd: Mlosd, project: Path, tmp_path: Path) -> None:
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    mlosd.wait(mlosd.submit("true"))
    made = mlosd.call("io.mlosd.Exchange.Snapshot")
    assert made["made"]
    assert Path(made["path"]).stat().st_mode & 0o777 == 0o500
    mlosd.stop()
    with mlosd_snapshot(made["path"]) as snapshot:
        found = snapshot.project("flights")
        assert found.row["root"] == os.fsencode(project)
        paths = found.resources["path"].to_pylist()
        assert os.fsencode(project.name) not in paths
        assert b"data/caf\xe9.csv" in paths
        assert found.resources.num_rows == 4
        assert snapshot.table("run")["result"].to_pylist() == ["ok"]
        assert "environment" not in json.loads(snapshot.table("run")["request"][0].as_py())
        with pytest.raises(NotFound, match="no project 'other'"):
            snapshot.project("other")
    mlosd.start()


def test_a_snapshot_is_written_again_only_when_something_was_committed(mlosd: Mlosd, project: Path) -> None:
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    first = mlosd.call("io.mlosd.Exchange.Snapshot")
    assert first["made"]
    # What a new project makes the daemon look at is committed little by little.
    assert any(not mlosd.call("io.mlosd.Exchange.Snapshot")["made"] for _ in range(50))
    with mlosd_snapshot(first["path"]) as old:
        before = old.table("project")
        mlosd.call("io.mlosd.Projects.Remove", project="flights")
        assert mlosd.call("io.mlosd.Exchange.Snapshot")["made"]
        assert before["removed_at"].null_count == 1  # the old one is still mapped, and as it was
        with mlosd_snapshot(first["path"]) as new:
            assert new.table("project")["removed_at"].null_count == 0
            assert new.sequence != old.sequence
            assert new.made_at > old.made_at


def test_what_is_refused_changes_nothing(mlosd: Mlosd, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = run("a"), run("b", submitted_at=1e300)
    for told, words in ((records(good, bad, source="mlflow"), "line 3"), (records(good)[:-1], "the file was cut")):
        with pytest.raises(MlosError, match=words):
            take_in(mlosd, sealed(told))
    with pytest.raises(BadRequest, match="is not sealed"):
        take_in(mlosd, sealed(records(good), seals=0))
    assert mlosd.call("io.mlosd.Jobs.List", all=True)["jobs"] == []
    assert mlosctl(mlosd, "import", "mlflow", str(tmp_path / "nothing")) == os.EX_NOINPUT
    assert mlosctl(mlosd, "import", "mlosd", str(tmp_path / "nothing")) == os.EX_NOINPUT
    assert mlosctl(mlosd, "import", "mlflow", str(mlflow_db(tmp_path)), "--project", "nope") == os.EX_NOINPUT
    assert "there is no project 'nope' of yours" in capsys.readouterr().err


def test_records_that_never_end_are_refused_before_they_fill_the_memory(
    mlosd: Mlosd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_.LARGEST == sealed_records.LARGEST
    monkeypatch.setattr(import_, "LARGEST", 2 << 20)
    assert mlosctl(mlosd, "import", "mlosd", "/dev/zero") == os.EX_USAGE
    assert "cannot be taken at once" in capsys.readouterr().err
    monkeypatch.setattr(telling, "LARGEST", 100)
    with pytest.raises(BadRequest, match="more than"):
        telling.Telling(io.BytesIO(), source="mlflow", store="x" * 100)


def test_an_export_that_fails_leaves_no_file(mlosd: Mlosd, tmp_path: Path) -> None:
    assert mlosctl(mlosd, "export", "--project", "nope", "-o", str(tmp_path / "out")) == os.EX_NOINPUT
    assert list(tmp_path.glob("*out*")) == []


def mlosd_snapshot(path: str) -> mlosd.snapshot.Snapshot:
    return mlosd.snapshot.open(path)


def take_in(daemon: Mlosd, fd: int) -> dict[str, Any]:
    """Pass a memfd to the daemon."""
    try:
        with daemon.connect() as connection:
            [reply] = connection.call_with_fds("io.mlosd.Exchange.Import", {"records": 0}, fds=[fd])
            return reply
    finally:
        os.close(fd)
