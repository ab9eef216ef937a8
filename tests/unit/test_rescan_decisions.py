"""What a rescan notes, from what is found and what is known; and what a project says that cannot be watched."""

import asyncio
import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mlosd.config.project import ProjectFile
from mlosd.content.identity import Content, ContentUnreadable, Identity
from mlosd.core import events
from mlosd.core.ids import new_id
from mlosd.kernel.inotify import Inotify
from mlosd.projects.datasets import Datasets
from mlosd.projects.following import Following
from mlosd.projects.intent import Limits, plan_of
from mlosd.projects.rescan import Rescan, compare
from mlosd.projects.walk import Plan, subdirectories, walk
from mlosd.store.db import Database
from mlosd.store.manifests import Manifests
from mlosd.store.projects import Found, Known, ProjectRow, Projects
from mlosd.store.versions import Versions

FOUND = Found("dataset", "data/a", b"a", "uuid:1", 1, b"handle", 1, b"parent", 7, 3, 10, 11)
KNOWN = Known("id", "data/a", "dataset", "uuid:1", 1, b"handle", 1, b"parent", b"a", 3, 10, 11, True, "csv")


def test_a_file_that_is_as_it_was_is_left_alone() -> None:
    assert compare([FOUND], {"data/a": KNOWN}).looks == ()


@pytest.mark.parametrize(
    "found",
    [
        replace(FOUND, handle=b"another"),
        replace(FOUND, parent=b"another"),
        replace(FOUND, filesystem="uuid:2"),
        replace(FOUND, size=4),
        replace(FOUND, mtime_ns=12),
        replace(FOUND, ctime_ns=12),
    ],
    ids=["inode", "directory", "file system", "size", "mtime", "ctime"],
)
def test_a_file_with_anything_new_about_it_is_looked_at(found: Found) -> None:
    assert compare([found], {"data/a": KNOWN}).looks == (found,)


def test_a_file_that_nobody_has_read_is_read_and_did_not_change() -> None:
    differences = compare([FOUND], {"data/a": replace(KNOWN, digested=False)})
    assert differences.looks == (FOUND,)
    assert differences.unread == {"data/a"}


def test_what_is_not_found_is_gone() -> None:
    differences = compare([replace(FOUND, path="data/b")], {"data/a": KNOWN})
    assert [row.path for row in differences.gone] == ["data/a"]
    assert [file.path for file in differences.looks] == ["data/b"]


def test_a_dataset_is_one_by_declaration_or_because_it_was() -> None:
    declared = ProjectFile(datasets=["./data/images/", "video/*"])
    plan = plan_of(declared, Limits(10, 10, frozenset()), known={}, datasets=["data/text"])
    assert [p for p in ("data/images", "video/1", "data/text", "data", "video/1/2") if plan.is_dataset(p)] == [
        "data/images",
        "video/1",
        "data/text",
    ]


def test_what_lineage_noted_without_a_glob_is_followed_too() -> None:
    known = {"notes.txt": replace(KNOWN, path="notes.txt", role="config")}
    plan = plan_of(ProjectFile(), Limits(10, 10, frozenset()), known=known, datasets=())
    assert (plan.role("notes.txt"), plan.role("other.txt"), plan.role("train.py")) == ("config", None, "code")


class Digests:
    """Reads files itself."""

    async def read_many(self, files: Sequence[tuple[int, bytes]]) -> list[Content | ContentUnreadable]:
        data = [os.pread(fd, 1 << 20, 0) for fd, _ in files]
        return [Content(Identity("csv"), hashlib.sha256(d).digest(), len(d)) for d in data]


async def follow(tmp_path: Path, said: list[events.Event]) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/a.py").write_text("1")
    database = Database(tmp_path / "mlosd.db")
    projects, versions = Projects(database), Versions(database)
    rescan = Rescan(projects=projects, versions=versions, digests=Digests())
    following = Following(
        rescan=rescan,
        datasets=Datasets(manifests=Manifests(database), rescan=rescan, states=tmp_path / "manifests"),
        parse=lambda text, uid, gid: ProjectFile(),
        limits=Limits(100, 100, frozenset()),
        emit=said.append,
    )
    project = ProjectRow(new_id(), "p", str(tmp_path.resolve() / "project"), os.geteuid(), "dev", 0.0)
    await projects.add(project, ())
    try:
        following.open([project])
        for text in ("1", "2"):
            (tmp_path / "project/a.py").write_text(text)
            followed = await following.settled(project.id)
            assert followed.since is None
            assert "fs.inotify.max_user_watches" in (followed.why_not or "")
            resource = versions.resource_at(project.id, "a.py")
            assert resource is not None
            current = versions.current(resource)
            assert current is not None
            assert current.digest == hashlib.sha256(text.encode()).digest()
    finally:
        await following.close()
        await database.close()


def test_a_project_beyond_the_limit_of_watches_says_so_once_and_is_looked_at_before_each_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_watch(self: Inotify, directory: int, mask: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Inotify, "add_watch", add_watch)
    said: list[events.Event] = []
    asyncio.run(follow(tmp_path, said))
    assert len([event for event in said if isinstance(event, events.Degraded)]) == 1


def test_a_directory_that_opens_and_cannot_be_listed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").write_text("1")
    bad, scandir = (tmp_path / "a").stat().st_ino, os.scandir

    def of_a_bad_disk(fd: int) -> object:
        if os.fstat(fd).st_ino == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO), fd)
        return scandir(fd)

    monkeypatch.setattr(os, "scandir", of_a_bad_disk)
    root = os.open(tmp_path, os.O_RDONLY)
    plan = Plan(role=lambda path: None, is_dataset=lambda path: False, roll_up=10)
    try:
        assert [directory.path for directory in walk(root, plan)] == ["", "b"]
        assert [path for path, _ in subdirectories(root, "", ours=frozenset())] == ["", "a", "b"]
    finally:
        os.close(root)
