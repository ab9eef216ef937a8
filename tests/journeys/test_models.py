"""Models through the real daemon: registered, aliased, rolled back, collected, over the wire and by mlosctl."""

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import Mlosd

from mlosd.core.errors import BadRequest, NotFound, NotPermitted, Refused


def model(value: float) -> bytes:
    """A safetensors file with two layers."""
    tensors = {
        "fc1.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "fc1.bias": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
    }
    header = json.dumps(tensors).encode("ascii")
    return struct.pack("<Q", len(header)) + header + struct.pack("<6f", *[value] * 6)


@pytest.fixture
def live(mlosd: Mlosd, tmp_path: Path) -> Path:
    """The file of a model with three registered versions, in a project."""
    root = tmp_path.resolve() / "flights"
    root.mkdir()
    mlosd.call("io.mlosd.Projects.Add", path=str(root))
    path = root / "flights.safetensors"
    for value in (1.0, 2.0, 3.0):
        path.write_bytes(model(value))
        mlosd.call("io.mlosd.Models.Register", path=str(path))
    return path


def mlosctl(mlosd: Mlosd, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlosd.cli.main", "--root", str(mlosd.root), "model", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def show(mlosd: Mlosd, name: str = "flights") -> list[dict[str, Any]]:
    versions: list[dict[str, Any]] = mlosd.call("io.mlosd.Models.Show", model=name)["versions"]
    return versions


def test_registered_files_are_versions_with_what_their_header_says(mlosd: Mlosd, live: Path) -> None:
    [listed] = mlosd.call("io.mlosd.Models.List")["models"]
    assert (listed["name"], listed["project"], listed["path"], listed["versions"]) == (
        "flights",
        "flights",
        "flights.safetensors",
        3,
    )
    newest, *_ = show(mlosd)
    assert (newest["number"], newest["format"], newest["captured"]) == (3, "safetensors", "stored")
    assert newest["header"]["tensors"] == 2
    assert newest["made_by"] is None
    assert mlosd.call("io.mlosd.Models.List", project="other")["models"] == []


def test_what_was_production_when_outlives_the_daemon(mlosd: Mlosd, live: Path) -> None:
    times = []
    for number in (1, 3):
        mlosd.call("io.mlosd.Models.Alias", model="flights", alias="production", number=number, reason=f"try {number}")
        times.append(time.time())
    mlosd.kill()
    mlosd.start()
    for at, number in zip(times, (1, 3), strict=True):
        [change] = mlosd.call("io.mlosd.Models.History", model="flights", at=at)["changes"]
        assert (change["alias"], change["number"], change["reason"]) == ("production", number, f"try {number}")
    assert mlosd.call("io.mlosd.Models.History", model="flights", at=times[0] - 60)["changes"] == []
    assert [c["number"] for c in mlosd.call("io.mlosd.Models.History", model="flights")["changes"]] == [3, 1]


def test_a_rollback_puts_the_file_and_the_alias_back(mlosd: Mlosd, live: Path) -> None:
    for number in (2, 3):
        mlosd.call("io.mlosd.Models.Alias", model="flights", alias="production", number=number)
    reply = mlosd.call("io.mlosd.Models.Rollback", model="flights", alias="production", reason="it was worse")
    assert (reply["version"]["number"], reply["path"]) == (2, str(live))
    assert live.read_bytes() == model(2.0)
    assert [path.name for path in live.parent.iterdir()] == [live.name]
    assert show(mlosd)[1]["aliases"] == ["production"]


def test_a_version_that_an_alias_needs_stays(mlosd: Mlosd, live: Path) -> None:
    mlosd.call("io.mlosd.Models.Alias", model="flights", alias="production", number=1)
    with pytest.raises(Refused, match="production needs version 1 of flights"):
        mlosd.call("io.mlosd.Models.Remove", model="flights", number=1)
    assert mlosd.call("io.mlosd.Models.Remove", model="flights", number=2)["bytes"] == len(model(2.0))
    assert [version["captured"] for version in show(mlosd)] == ["stored", "pruned", "stored"]
    with pytest.raises(Refused, match="cannot come back: pruned"):
        mlosd.call("io.mlosd.Models.Rollback", model="flights", number=2)


def test_what_cannot_be_is_said(mlosd: Mlosd, live: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no model 'nothing' of yours"):
        show(mlosd, "nothing")
    with pytest.raises(NotFound, match="has no version 7"):
        mlosd.call("io.mlosd.Models.Alias", model="flights", alias="production", number=7)
    with pytest.raises(BadRequest):
        mlosd.call("io.mlosd.Models.Alias", model="flights", alias="7", number=1)
    with pytest.raises(NotPermitted, match="is not a file of yours"):
        mlosd.call("io.mlosd.Models.Register", path=str(live.parent / "nothing"))
    (live.parent / "link").symlink_to(live)
    with pytest.raises(NotPermitted, match="is not a file of yours"):
        mlosd.call("io.mlosd.Models.Register", path=str(live.parent / "link"))
    (live.parent / "cut.safetensors").write_bytes(model(4.0)[:-5])
    with pytest.raises(Refused, match="is not complete"):
        mlosd.call("io.mlosd.Models.Register", path=str(live.parent / "cut.safetensors"))
    os.mkfifo(live.parent / "fifo")
    with pytest.raises(NotPermitted):
        mlosd.call("io.mlosd.Models.Register", path=str(live.parent / "fifo"))


def test_a_file_of_any_name_can_be_a_model(mlosd: Mlosd, live: Path) -> None:
    for name in (b"caf\xe9.safetensors", b"two\nlines.safetensors", b"x" * 243 + b".safetensors"):
        path = live.parent / os.fsdecode(name)
        path.write_bytes(model(5.0))
        registered = mlosd.call("io.mlosd.Models.Register", path=str(path))
        assert registered["model"]["path"] == path.name
        path.write_bytes(model(6.0))
        mlosd.call("io.mlosd.Models.Rollback", model=registered["model"]["id"], number=1)
        assert path.read_bytes() == model(5.0)


def test_mlosctl_model_shows_moves_and_rolls_back(mlosd: Mlosd, live: Path) -> None:
    assert "flights" in mlosctl(mlosd, "list").stdout
    moved = mlosctl(mlosd, "alias", "flights:2", "production", "--reason", "better")
    assert moved.stdout == "production of flights means version 2 from now on\n"
    assert mlosctl(mlosd, "alias", "flights", "production").stdout.endswith("means version 3 from now on\n")
    back = mlosctl(mlosd, "rollback", "flights")
    assert back.stdout == f"version 2 of flights is in {live} again; production means it\n"
    card = mlosctl(mlosd, "show", "flights:production").stdout
    assert "flights:2" in card
    assert show(mlosd)[1]["digest"] in card
    assert json.loads(mlosctl(mlosd, "show", "flights:2", "--json").stdout)["aliases"] == ["production"]
    history = mlosctl(mlosd, "history", "flights", "--at", "2999-01-01").stdout.splitlines()
    assert len(history) == 2
    assert "better" in mlosctl(mlosd, "history", "flights").stdout
    assert mlosctl(mlosd, "gc", "--dry-run").stdout == "0 would be removed, 0B; 3 stay\n"
    assert mlosctl(mlosd, "gc", "flights:1").stdout == "flights:1 removed, 176B free\n"
    missing = mlosctl(mlosd, "show", "nothing")
    assert (missing.returncode, "there is no model" in missing.stderr) == (os.EX_NOINPUT, True)
    wrong = mlosctl(mlosd, "history", "flights", "--at", "yesterday")
    assert (wrong.returncode, "is not a time" in wrong.stderr) == (os.EX_USAGE, True)
