"""Snapshots: what is written is what is mapped, and what is wrong with one is said."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from mlosd import snapshot as reader
from mlosd.core.errors import NotFound, NotPermitted, Refused
from mlosd.exchange.shelf import Sequence, Shelf
from mlosd.store.schema import MIGRATIONS
from mlosd.store.snapshot import Scope, TableSnapshot

UID = os.getuid()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two projects of ours and one of somebody else."""
    path = tmp_path / "mlosd.db"
    with apsw.Connection(str(path)) as connection:
        for migration in MIGRATIONS:
            connection.execute(migration.sql())
        connection.execute("INSERT INTO schema_info VALUES (1, 1, 5.0)")
        connection.execute("INSERT INTO object VALUES (1, 'uuid:x', 1, x'aaff', 5, 0, NULL)")
        for project, name, owner, count in (("p1", "one", UID, 3), ("p2", "two", UID, 2), ("p3", "secret", UID + 1, 4)):
            connection.execute(
                "INSERT INTO project VALUES (?, ?, CAST(? AS TEXT), ?, 'dev', 0, NULL)",
                (project, name, b"/srv/caf\xe9", owner),
            )
            for number in range(count):
                resource = f"{project}-{number}"
                connection.execute(
                    "INSERT INTO resource VALUES (?, ?, 'dataset', CAST(? AS TEXT), 0, 'declared')",
                    (resource, project, b"data/\xff%d" % number),
                )
                connection.execute(
                    "INSERT INTO version (id, resource, object, digest, size, mtime_ns, ctime_ns, seen_at, number)"
                    " VALUES (?, ?, 1, x'ab', 7, 1, 1, 2.0, (SELECT coalesce(max(number), 0) + 1 FROM version))",
                    (resource, resource),
                )
        connection.execute("INSERT INTO binding VALUES (1, 'p1-0', 1, 1, x'bb', x'ff', 0, NULL)")
    return path


@pytest.fixture
def path(database: Path, tmp_path: Path) -> Iterator[Path]:
    """A snapshot."""
    yield put(database, tmp_path / "snapshots")


def put(database: Path, shelf: Path, *, commit: int = 1) -> Path:
    with TableSnapshot(database) as table:
        table.limit(Scope(frozenset({UID})))
        sequence = Sequence(7, commit)
        return Shelf(shelf, own_uid=UID).put(table, uid=UID, gid=os.getgid(), sequence=sequence).path


def test_a_project_is_a_slice_of_the_resources(path: Path) -> None:
    with reader.open(path) as snapshot:
        one, two = snapshot.project("one"), snapshot.project("p2")
        assert one.row["root"] == b"/srv/caf\xe9"
        assert one.resources["path"].to_pylist() == [b"data/\xff0", b"data/\xff1", b"data/\xff2"]
        assert two.resources["id"].to_pylist() == ["p2-0", "p2-1"]
        assert (one.resources["handle"][0].as_py(), one.resources["inode"].to_pylist()) == (
            b"\xaa\xff",
            [5, None, None],
        )
        assert one.resources["digest"].to_pylist() == [b"\xab"] * 3
        assert snapshot.sequence == "7.1"


def test_nothing_of_another_user_is_in_it(path: Path) -> None:
    with reader.open(path) as snapshot:
        assert list(snapshot.projects()) == ["one", "two"]
        assert snapshot.table("version").num_rows == snapshot.table("resource").num_rows == 5
    assert b"secret" not in b"".join(file.read_bytes() for file in path.iterdir())


def test_an_old_snapshot_stays_mapped_when_a_new_one_takes_its_place(
    path: Path, database: Path, tmp_path: Path
) -> None:
    with reader.open(path) as old:
        put(database, tmp_path / "snapshots", commit=2)
        assert old.project("one").resources.num_rows == 3
        with reader.open(path) as new:
            assert (old.sequence, new.sequence) == ("7.1", "7.2")
    assert os.listdir(tmp_path / "snapshots") == [str(UID)]  # noqa: PTH208


def test_its_owner_alone_can_read_it_and_not_even_he_can_write(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o500
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o444}
    assert {file.stat().st_uid for file in (path, *path.iterdir())} == {UID}


def test_what_is_wrong_with_a_snapshot_is_said(path: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no snapshot of mlosd") as missing:
        reader.open(tmp_path / "nothing")
    assert "mlosctl export --snapshot" in str(missing.value.hint)
    with pytest.raises(NotFound, match="is not a directory"):
        reader.open(path / "project.arrow")
    with reader.open(path) as snapshot, pytest.raises(NotFound, match="no table 'dreams'"):
        snapshot.table("dreams")
    path.chmod(0o700)
    for content, words in ((b"", "is empty"), (b"ARROW1\0\0 and then nothing", "project.arrow: ")):
        (path / "project.arrow").unlink()
        (path / "project.arrow").write_bytes(content)
        with pytest.raises(reader.SnapshotDamaged, match=words), reader.open(path) as snapshot:
            snapshot.table("project")


@pytest.mark.skipif(UID == 0, reason="root may read everything")
def test_a_snapshot_of_another_user_is_not_permitted(path: Path) -> None:
    path.chmod(0)
    with pytest.raises(NotPermitted, match="is not yours to read"):
        reader.open(path)


def test_a_writer_that_fails_leaves_the_old_snapshot(
    path: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Refused, match="could not be written"):
        put(database, tmp_path / "snapshots", commit=2)
    monkeypatch.undo()
    with reader.open(path) as snapshot:
        assert snapshot.sequence == "7.1"


def test_the_writer_believes_nothing_that_was_cut() -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "mlosd.exchange.snapshot"],
        input=b'{"tables": {}, "metadata": {}}\n',
        check=False,
    )
    assert ended.returncode == os.EX_DATAERR
