"""Models that jobs write are kept by the daemon, on the live kernel, with nothing in the script that helps."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import Mlosd
from tests.journeys.test_models import model

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root: the kernel tells nobody else what jobs write"),
]

SAVES = """
import json, os, struct, sys, time

def model(value):
    tensors = {
        "fc1.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "fc1.bias": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
    }
    header = json.dumps(tensors).encode("ascii")
    return struct.pack("<Q", len(header)) + header + struct.pack("<6f", *[value] * 6)

def save(path, value):
    with open(path, "wb") as file:
        file.write(model(value))
    time.sleep(0.7)

def replace(path, value):
    with open(path + ".tmp", "wb") as file:
        file.write(model(value))
    os.replace(path + ".tmp", path)
    time.sleep(0.7)
"""


@pytest.fixture
def mlosd(tmp_path: Path) -> Iterator[Mlosd]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.csv").write_text("a,b\n1,2\n")
    with Mlosd(tmp_path / "root") as daemon:
        daemon.call("io.mlosd.Projects.Add", path=str(project.resolve()))
        yield daemon


def project(mlosd: Mlosd) -> Path:
    return mlosd.root.parent / "project"


def run(mlosd: Mlosd, script: str, *, result: str = "ok") -> int:
    argv = [sys.executable, "-c", SAVES + script]
    id_ = mlosd.submit(*argv, cwd=str(project(mlosd)), project="project")
    job = mlosd.wait(id_)
    assert job["result"] == result, mlosd.output(id_)
    mlosd.call("io.mlosd.Lineage.Facts", run=id_)  # waits until its rows are there
    return id_


def versions(mlosd: Mlosd, name: str = "net") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mlosd.call("io.mlosd.Models.Show", model=name)["versions"]
    return found[::-1]


def stored(mlosd: Mlosd, version: dict[str, Any]) -> bytes:
    digest: str = version["digest"]
    path = mlosd.root / "lib" / "models" / digest[:2] / digest
    return path.read_bytes()


def names(mlosd: Mlosd) -> list[str]:
    return [row["name"] for row in mlosd.call("io.mlosd.Models.List")["models"]]


def test_each_save_is_a_version_in_place_and_by_rename_and_none_destroys_the_one_before(mlosd: Mlosd) -> None:
    id_ = run(
        mlosd,
        "open('train.csv').read(); save('net.safetensors', 1); save('net.safetensors', 2);"
        " replace('net.safetensors', 3); replace('net.safetensors', 4); save('net.safetensors', 5)",
    )
    found = versions(mlosd)
    assert [stored(mlosd, version) for version in found] == [model(float(value)) for value in (1, 2, 3, 4, 5)]
    assert {version["made_by"] for version in found} == {id_}
    assert {version["captured"] for version in found} == {"stored"}
    assert all(version["inputs"] >= 1 for version in found)
    assert names(mlosd) == ["net"]


def test_writing_through_the_workspace_leaves_the_stored_version_as_it_was(mlosd: Mlosd) -> None:
    run(mlosd, "save('net.safetensors', 1)")
    with (project(mlosd) / "net.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"XXXX")
    [version] = versions(mlosd)
    assert stored(mlosd, version) == model(1.0)
    mlosd.call("io.mlosd.Models.Rollback", model="net", number=1)
    assert (project(mlosd) / "net.safetensors").read_bytes() == model(1.0)
    assert len(versions(mlosd)) == 2


def test_a_save_that_is_cut_by_a_kill_and_an_orphan_are_no_versions(mlosd: Mlosd) -> None:
    run(mlosd, "save('net.safetensors', 1)")
    run(
        mlosd,
        "import signal; file = open('net.safetensors', 'wb'); file.write(model(2)[:-9]); file.flush();"
        " os.kill(os.getpid(), signal.SIGKILL)",
        result="failed",
    )
    run(mlosd, "save('other.safetensors.tmp', 3)")
    assert [stored(mlosd, version) for version in versions(mlosd)] == [model(1.0)]
    assert names(mlosd) == ["net"]


def test_data_and_code_that_a_job_writes_are_no_models(mlosd: Mlosd) -> None:
    run(mlosd, "open('out.csv', 'w').write('a,b\\n1,2\\n' * 100); open('gen.py', 'w').write('print(1)\\n' * 10)")
    assert names(mlosd) == []


def test_inputs_that_change_later_make_the_model_stale(mlosd: Mlosd) -> None:
    run(mlosd, "open('train.csv').read(); save('net.safetensors', 1)")
    [before] = versions(mlosd)
    assert (before["inputs_changed"], before["age"] is not None) == (0, True)
    run(mlosd, "open('train.csv', 'a').write('3,4\\n')")
    [after] = versions(mlosd)
    assert (after["inputs"], after["inputs_changed"]) == (before["inputs"], 1)


def test_the_daemon_may_be_killed_while_the_job_runs(mlosd: Mlosd) -> None:
    argv = [sys.executable, "-c", SAVES + "save('net.safetensors', 1); time.sleep(3)"]
    id_ = mlosd.submit(*argv, cwd=str(project(mlosd)), project="project")
    mlosd.wait(id_, "RUNNING")
    mlosd.kill()
    mlosd.start()
    mlosd.wait(id_)
    mlosd.call("io.mlosd.Lineage.Facts", run=id_)
    assert [(version["made_by"], stored(mlosd, version)) for version in versions(mlosd)] == [(id_, model(1.0))]


class OnASmallDisk(Mlosd):
    """A daemon whose state is on a tmpfs of its own, which only it sees."""

    def command(self) -> list[str]:
        mount = f"mount -t tmpfs -o size=8m mlosd-test {shlex.quote(str(self.root))}"
        inner = f"{mount} && exec {shlex.join(super().command())}"
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner]

    @property
    def socket(self) -> Path:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self.root}/run/mlosd.sock")


def test_on_a_full_disk_the_job_is_unharmed_and_the_version_says_that_it_was_not_captured(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    small = OnASmallDisk(tmp_path / "root")
    small.log = tmp_path / "daemon.log"
    with small as mlosd:
        mlosd.call("io.mlosd.Projects.Add", path=str((tmp_path / "project").resolve()))
        run(mlosd, "save('net.safetensors', 1)")
        [version] = versions(mlosd)
        assert version["captured"] == "not captured (no space)"
        assert len(version["digest"]) == 64
        assert (tmp_path / "project" / "net.safetensors").read_bytes() == model(1.0)
