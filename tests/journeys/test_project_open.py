"""A project is opened: progress comes, then what was found; another's project is not there."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import Mlosd
from tests.fakes.tree import materialize

from mlosd.core.errors import BadRequest, NotFound


@pytest.fixture
def project(mlosd: Mlosd, tmp_path: Path) -> Path:
    root = materialize(tmp_path.resolve() / "flights", {"train.py": "print()\n", "data/a.csv": "a\n1\n"})
    mlosd.call("io.mlosd.Projects.Add", path=str(root))
    return root


def mlosctl(mlosd: Mlosd, *words: str) -> str:
    command = [sys.executable, "-m", "mlosd.cli.main", "--root", str(mlosd.root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_last_reply_says_what_was_found(mlosd: Mlosd, project: Path) -> None:
    (project / "data/a.csv").unlink()
    with mlosd.connect() as connection:
        *earlier, last = connection.stream("io.mlosd.Projects.Open", {"project": "flights"})
    assert all(reply["opened"] is None for reply in earlier)
    opened: dict[str, Any] = last["opened"]
    assert (opened["resources"], opened["missing"], opened["total"], opened["run"]) == (2, 1, 8, None)
    assert opened["by_handle"] + opened["by_path"] == 1
    assert opened["warmed"] + opened["resident"] == last["progress"]["done"] == 8
    assert opened["stopped"] is None


def test_one_reply_is_enough_for_who_wants_one(mlosd: Mlosd, project: Path) -> None:
    assert mlosd.call("io.mlosd.Projects.Open", project="flights")["opened"]["total"] == 12


def test_people_see_what_is_in_memory(mlosd: Mlosd, project: Path) -> None:
    shown = mlosctl(mlosd, "project", "open", "flights")
    assert shown.startswith("flights\n")
    assert "12B of 12B (100 %)" in shown
    told = json.loads(mlosctl(mlosd, "project", "open", "flights", "--budget", "1G", "--force", "--network", "--json"))
    assert told["total"] == 12


def test_a_budget_of_less_than_nothing_makes_no_sense(mlosd: Mlosd, project: Path) -> None:
    with pytest.raises(BadRequest):
        mlosd.call("io.mlosd.Projects.Open", project="flights", budget=-1)


def test_a_project_that_nobody_added_cannot_be_opened(mlosd: Mlosd) -> None:
    with pytest.raises(NotFound, match="no project 'nope' of yours"):
        mlosd.call("io.mlosd.Projects.Open", project="nope")


def test_a_fifo_that_took_the_place_of_a_file_holds_nobody_up(mlosd: Mlosd, project: Path) -> None:
    (project / "data/a.csv").unlink()
    os.mkfifo(project / "data/a.csv")
    assert mlosd.call("io.mlosd.Projects.Open", project="flights")["opened"]["total"] == 8
