"""What changes between jobs is seen as it happens; what is missed is said and made good; else nothing runs."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import Mlosd

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="projects are watched as root")]

DATASET = 1200


@pytest.fixture
def mlosd(tmp_path: Path) -> Iterator[Mlosd]:
    with Mlosd(tmp_path.resolve() / "mlosd") as daemon:
        yield daemon


@pytest.fixture
def project(mlosd: Mlosd, tmp_path: Path) -> Path:
    """A watched project with a file and a directory that is a dataset."""
    root = tmp_path.resolve() / "project"
    (root / "data/images").mkdir(parents=True)
    (root / "data/a.csv").write_text("a\n1\n")
    for n in range(DATASET):
        (root / f"data/images/{n}.png").write_text(str(n))
    mlosd.call("io.mlosd.Projects.Add", path=str(root))
    assert status(mlosd, root / "data/images")["watched_since"]
    return root


def status(mlosd: Mlosd, path: Path) -> dict[str, Any]:
    told: dict[str, Any] = mlosd.call("io.mlosd.Datasets.Status", path=str(path))["status"]
    return told


def datasets(mlosd: Mlosd) -> dict[str, dict[str, Any]]:
    """As they are known; asking for them does not make the daemon look."""
    return {one["path"]: one for one in mlosd.call("io.mlosd.Datasets.List")["datasets"]}


def eventually(check: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def told(mlosd: Mlosd, text: str) -> int:
    """In how many lines of its log."""
    return sum(text in line for line in mlosd.log.read_text().splitlines())


def test_a_changed_file_gets_a_version_by_itself(mlosd: Mlosd, project: Path) -> None:
    (project / "data/a.csv").write_text("a\n2\n")
    eventually(lambda: datasets(mlosd)["data/a.csv"]["versions"] == 2)


def test_a_file_of_a_dataset_changes_the_dataset_by_itself(mlosd: Mlosd, project: Path) -> None:
    before = datasets(mlosd)["data/images"]
    (project / "data/images/7.png").write_text("another")
    eventually(lambda: datasets(mlosd)["data/images"]["digest"] != before["digest"])
    (project / "data/images/7.png").write_text("7")
    eventually(lambda: datasets(mlosd)["data/images"]["digest"] == before["digest"])
    assert datasets(mlosd)["data/images"]["versions"] == 3


def test_files_of_new_directories_are_seen_however_soon_they_come(mlosd: Mlosd, project: Path) -> None:
    for n in range(20):
        deep = project / f"data/new{n}/deep/er"
        deep.mkdir(parents=True)
        (deep / "x.csv").write_text("x\n")
    eventually(lambda: sum(path.endswith("x.csv") for path in datasets(mlosd)) == 20)
    (project / "data/new7/deep/er/x.csv").write_text("y\n")
    eventually(lambda: datasets(mlosd)["data/new7/deep/er/x.csv"]["versions"] == 2)


def test_new_directories_in_a_dataset_belong_to_it(mlosd: Mlosd, project: Path) -> None:
    (project / "data/images/more/still").mkdir(parents=True)
    (project / "data/images/more/still/1.png").write_text("1")
    eventually(lambda: datasets(mlosd)["data/images"]["files"] == DATASET + 1)
    (project / "data/images/more").rename(project / "data/images/less")
    eventually(lambda: datasets(mlosd)["data/images"]["versions"] == 3)
    assert status(mlosd, project / "data/images")["dataset"]["files"] == DATASET + 1
    (project / "data/images/less/still/1.png").write_text("2")
    eventually(lambda: datasets(mlosd)["data/images"]["versions"] == 4)


def test_a_directory_that_is_gone_takes_its_files_with_it(mlosd: Mlosd, project: Path) -> None:
    (project / "data/images").rename(project.with_name("images"))
    eventually(lambda: "data/images" not in datasets(mlosd))
    (project.with_name("images")).rename(project / "data/images")
    eventually(lambda: "data/images" in datasets(mlosd))
    assert datasets(mlosd)["data/images"]["versions"] == 1


def test_many_changes_at_once_are_one_version(mlosd: Mlosd, project: Path) -> None:
    for n in range(200):
        (project / f"data/images/{n}.png").write_text("new")
    eventually(lambda: datasets(mlosd)["data/images"]["versions"] == 2)
    assert not status(mlosd, project / "data/images")["changed"]


def test_what_was_missed_is_said_and_found_by_a_rescan(mlosd: Mlosd, project: Path) -> None:
    assert mlosd.process is not None
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: it would take too long to overflow")
    mlosd.process.send_signal(signal.SIGSTOP)
    for n in range(limit // 2 + 10):
        (project / f"data/images/{DATASET + n}.png").write_text("x")
    (project / "data/a.csv").write_text("a\nmissed\n")
    mlosd.process.send_signal(signal.SIGCONT)
    eventually(lambda: datasets(mlosd)["data/a.csv"]["versions"] == 2, seconds=30)
    assert datasets(mlosd)["data/images"]["files"] == DATASET + limit // 2 + 10
    assert told(mlosd, "changes were missed, it is looked at anew") == 1
    assert told(mlosd, "project project: ") <= 5


def test_the_files_of_the_daemon_never_trigger_it(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "project"
    (root / "data").mkdir(parents=True)
    (root / "data/a.csv").write_text("a\n")
    (root / "mlos.toml").write_text('[roles]\ndataset = ["**"]\n')
    with Mlosd(root / "data/mlosd") as mlosd:
        mlosd.log = tmp_path / "daemon.log"
        mlosd.call("io.mlosd.Projects.Add", path=str(root))
        mlosd.call("io.mlosd.Datasets.Rescan", project="project")
        known = set(datasets(mlosd))
        for _ in range(3):
            mlosd.call("io.mlosd.Projects.Remove", project="project")
            mlosd.call("io.mlosd.Projects.Add", path=str(root))
            time.sleep(0.6)
        assert not any("/lib/" in path or "/run/" in path for path in known | set(datasets(mlosd)))
        mlosd.log = root / "data/mlosd/daemon.log"


def test_a_daemon_that_watches_sleeps_when_nothing_changes(mlosd: Mlosd, project: Path) -> None:
    assert mlosd.process is not None
    time.sleep(7)  # the readers of contents end when they have been idle
    pid = mlosd.process.pid

    def switches() -> int:
        total = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            lines = (task / "status").read_text().splitlines()
            total += int(next(line for line in lines if line.startswith("voluntary_ctxt")).split()[1])
        return total

    before = switches()
    time.sleep(2)
    assert switches() == before


def test_a_project_whose_root_was_moved_away_is_said_to_be_unwatched(mlosd: Mlosd, project: Path) -> None:
    project.rename(project.with_name("elsewhere"))
    eventually(lambda: told(mlosd, "project project is not watched") == 1)
    project.with_name("elsewhere").rename(project)
    (project / "data/a.csv").write_text("a\nmeanwhile\n")
    found = status(mlosd, project / "data/a.csv")
    assert found["changed"]
    assert found["watched_since"]


def test_status_of_what_is_watched_is_answered_from_memory(mlosd: Mlosd, project: Path) -> None:
    with mlosd.connect() as connection:
        began = time.perf_counter()
        for _ in range(20):
            connection.call("io.mlosd.Datasets.Status", {"path": str(project / "data/images")})
        assert (time.perf_counter() - began) / 20 < 0.1
