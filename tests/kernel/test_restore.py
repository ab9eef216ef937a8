"""A project that is restored from an archive has new inodes and nothing else: no new version, no new resource."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.daemon import Mlosd

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="projects are watched as root")]

FILES = int(os.environ.get("MLOSD_RESTORE_FILES", "5000"))
"""The figure to reach is of 100000; so many take minutes."""
ROLLED_UP = 5000


@pytest.fixture
def mlosd(tmp_path: Path) -> Iterator[Mlosd]:
    with Mlosd(tmp_path.resolve() / "mlosd") as daemon:
        yield daemon


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Files in directories too small to be datasets, and one directory that is."""
    root = tmp_path.resolve() / "project"
    for n in range(FILES):
        file = root / f"data/{n // 500:03}/{n}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"a\n{n}\n")
    (root / "data/images").mkdir()
    for n in range(ROLLED_UP):
        (root / f"data/images/{n}.png").write_text(str(n))
    return root


def rows(mlosd: Mlosd, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{mlosd.root}/lib/mlosd.db?mode=ro", uri=True) as connection:
        return connection.execute(sql).fetchall()


def resources(mlosd: Mlosd) -> list[tuple[object, ...]]:
    return rows(
        mlosd, "SELECT r.id, r.path, v.digest FROM resource r JOIN version v ON v.resource = r.id ORDER BY 2, 3"
    )


def restore(project: Path) -> None:
    archive = project.with_name("backup.tar")
    subprocess.run(["tar", "-C", project.parent, "-cf", archive, project.name], check=True)
    shutil.rmtree(project)
    project.with_name("elsewhere").mkdir(exist_ok=True)  # so that inode numbers come in another order
    subprocess.run(["tar", "-C", project.parent, "-xf", archive], check=True)


def test_a_restored_project_has_no_new_version(mlosd: Mlosd, project: Path) -> None:
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    mlosd.call("io.mlosd.Datasets.Rescan", project="project")
    before, objects = resources(mlosd), rows(mlosd, "SELECT count(*) FROM object")[0][0]
    assert len(before) == FILES + 2
    mlosd.stop()
    restore(project)
    mlosd.start()
    told = mlosd.call("io.mlosd.Datasets.Rescan", project="project")
    assert resources(mlosd) == before
    assert told["gone"] == 0
    bound = rows(mlosd, "SELECT count(*) FROM binding WHERE valid_to IS NULL")[0][0]
    assert bound == FILES + 2
    assert int(str(rows(mlosd, "SELECT count(*) FROM object")[0][0])) > int(str(objects)) + FILES // 2


def test_a_restore_under_the_eyes_of_the_daemon_has_no_new_version_either(mlosd: Mlosd, project: Path) -> None:
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    mlosd.call("io.mlosd.Datasets.Rescan", project="project")
    before = {row for row in resources(mlosd) if row[1] != "."}
    keep = project.with_name("project-data.tar")
    subprocess.run(["tar", "-C", project, "-cf", keep, "data"], check=True)
    shutil.rmtree(project / "data")
    subprocess.run(["tar", "-C", project, "-xf", keep], check=True)
    mlosd.call("io.mlosd.Datasets.Status", path=str(project / "data/images"))
    mlosd.call("io.mlosd.Datasets.Rescan", project="project")
    assert {row for row in resources(mlosd) if row[1] != "."} == before


def test_a_file_that_was_read_once_is_not_read_again(mlosd: Mlosd, project: Path) -> None:
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    mlosd.call("io.mlosd.Datasets.Rescan", project="project")
    mlosd.kill()
    (project / "data/images/7.png").write_text("changed")
    mlosd.start()
    mlosd.call("io.mlosd.Datasets.Rescan", project="project")
    assert mlosd.call("io.mlosd.Datasets.Rescan", project="project")["read"] == 0
    log = mlosd.log.read_text()
    assert "project project: 1 new or changed" in log
