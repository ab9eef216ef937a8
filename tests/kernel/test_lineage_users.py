"""Lineage belongs to whom the job belongs to: others learn neither what is in it nor that it is there."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import somebody
from tests.fakes.daemon import Mlosd
from tests.kernel.test_users import ANN, BOB, call, submit

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to serve other users"),
]


@pytest.fixture
def mlosd() -> Iterator[Mlosd]:
    with tempfile.TemporaryDirectory(prefix="mlosd-users-") as folder:
        Path(folder).chmod(0o755)
        if not somebody.can_import(ANN, "mlosd.client"):
            pytest.skip("/usr/bin/python3 cannot, as another user, import the client")
        with Mlosd(Path(folder, "root")) as daemon:
            yield daemon


@pytest.fixture
def secret(mlosd: Mlosd) -> Path:
    """What a job of Ann's wrote."""
    home = mlosd.root.parent / "ann"
    home.mkdir()
    os.chown(home, ANN, ANN)
    home.chmod(0o700)
    mlosd.wait(submit(mlosd, ANN, "sh", "-c", f"echo secret > {home}/secret.csv"))
    return home / "secret.csv"


def test_a_graph_a_diff_and_facts_are_for_the_owner(mlosd: Mlosd, secret: Path) -> None:
    graph = call(mlosd, ANN, "io.mlosd.Lineage.Of", kind="file", name=str(secret), direction="up")["graph"]
    assert [run["id"] for run in graph["runs"]] == [1]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("Of", {"kind": "job", "name": "{}", "direction": "both"}),
        ("Facts", {"run": None}),
        ("Diff", {"a": None, "b": None}),
        ("Rerun", {"run": None}),
    ]
    for method, parameters in asked:
        answers = []
        for run in (1, 999):
            given = {name: run if value is None else value.format(run) for name, value in parameters.items()}
            answer = call(mlosd, BOB, f"io.mlosd.Lineage.{method}", **given)
            answers.append({name: str(value).replace(str(run), "N") for name, value in answer.items()})
        assert answers[0] == answers[1] == {"error": "NotFound", "message": "there is no job N of yours"}, method


def test_a_file_of_another_user_is_not_known_whether_it_is_there_or_not(mlosd: Mlosd, secret: Path) -> None:
    for kind in ("file", "dataset"):
        answers = [
            call(mlosd, BOB, "io.mlosd.Lineage.Of", kind=kind, name=str(path), direction="both")
            for path in (secret, secret.with_name("absent"))
        ]
        assert answers[0]["error"] == answers[1]["error"] == "NotFound"
        assert answers[0]["message"].replace("secret.csv", "absent") == answers[1]["message"]
    corrected = call(mlosd, BOB, "io.mlosd.Lineage.Correct", path=str(secret), role="model")
    assert corrected["error"] == "NotFound"


def test_two_users_of_one_file_do_not_see_each_other(mlosd: Mlosd) -> None:
    shared = mlosd.root.parent / "shared.csv"
    shared.write_text("a,b\n")
    shared.chmod(0o644)
    for user in (ANN, BOB):
        mlosd.wait(submit(mlosd, user, "cat", str(shared)))
    for user, run in ((ANN, 1), (BOB, 2)):
        graph = call(mlosd, user, "io.mlosd.Lineage.Of", kind="file", name=str(shared), direction="both")["graph"]
        assert [one["id"] for one in graph["runs"]] == [run]


def test_nobody_runs_a_job_of_somebody_else_again_as_that_user(mlosd: Mlosd) -> None:
    id_ = submit(mlosd, ANN, "true")
    mlosd.wait(id_)
    # Root may see it, but a job is run again by whom it belongs to.
    assert call(mlosd, 0, "io.mlosd.Lineage.Rerun", run=id_)["error"] == "NotFound"
    assert call(mlosd, ANN, "io.mlosd.Lineage.Rerun", run=id_)["id"] == id_ + 1
