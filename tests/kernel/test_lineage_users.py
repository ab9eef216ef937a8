"""Lineage belongs to whom the job belongs to: others learn neither what is in it nor that it is there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import model_files, somebody
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


def used_by(mlosd: Mlosd, user: int, *argv: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A job's run, and what it used by the last component of its path."""
    id_ = submit(mlosd, user, *argv)
    mlosd.wait(id_)
    asked = {"kind": "job", "name": str(id_), "direction": "both", "libraries": True}
    graph = call(mlosd, user, "io.mlosd.Lineage.Of", **asked)["graph"]
    return graph["runs"][0], {Path(version["path"]).name: version for version in graph["versions"]}


def test_what_a_user_may_write_or_execute_and_not_read_has_no_digest_for_them(mlosd: Mlosd) -> None:
    folder = mlosd.root.parent
    letterbox, program = folder / "letterbox.safetensors", folder / "program"
    letterbox.write_bytes(model_files.safetensors({"fc.weight": (2, 2), "fc.bias": (2,)}))
    os.chown(letterbox, BOB, BOB)
    letterbox.chmod(0o622)
    shutil.copy("/bin/true", program)
    program.chmod(0o711)
    mlosd.wait(submit(mlosd, BOB, "cat", str(letterbox)))  # Bob's look at it is no help to Ann
    run, files = used_by(mlosd, ANN, "sh", "-c", f": >> {letterbox}; {program}")
    assert run["lineage"] == "complete"
    for name in (letterbox.name, program.name):
        assert (files[name]["digest"], files[name]["format"]) == (None, None)
    assert call(mlosd, ANN, "io.mlosd.Models.List")["models"] == []
    _, files = used_by(mlosd, BOB, "cat", str(letterbox))
    assert files[letterbox.name]["digest"]


def test_what_a_program_with_more_rights_used_is_not_told_to_the_user_who_ran_it(mlosd: Mlosd) -> None:
    folder = mlosd.root.parent
    hidden = folder / "private"
    hidden.mkdir(mode=0o700)
    cat = folder / "cat"
    shutil.copy("/bin/cat", cat)
    cat.chmod(0o4755)
    for name, mode in (("closed.txt", 0o600), ("open.txt", 0o644)):
        (hidden / name).write_text("secret")
        (hidden / name).chmod(mode)
    run, files = used_by(mlosd, ANN, str(cat), str(hidden / "closed.txt"), str(hidden / "open.txt"))
    assert "cat" in files
    assert not files.keys() & {"closed.txt", "open.txt"}
    assert run["lineage"] == "partial"
    assert "left out" in run["reasons"][0]
