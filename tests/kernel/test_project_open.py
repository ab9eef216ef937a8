"""A project is opened on the live kernel: its files are found by handle, and end up in the page cache, all of them."""

import asyncio
import mmap
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import somebody
from tests.fakes.daemon import Mlosd

from mlosd.kernel import mountinfo
from mlosd.kernel.cachestat import resident
from mlosd.kernel.file_handle import name_to_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.kernel.readahead import dont_need
from mlosd.projects.gain import Gains
from mlosd.projects.resolve import Found, Reader, Resolver
from mlosd.projects.warm import Limits, Warmth, warm
from mlosd.store.db import Database
from mlosd.store.lineage import READ, Edge, record
from mlosd.store.projects import Found as FoundRow
from mlosd.store.projects import ProjectRow, Projects
from mlosd.store.runs import Run, Runs
from mlosd.store.warming import Gain, Row, Warming

ANN = Reader(12345, 12345, ())
SIZE = 48 << 20
ROOMY = Limits(budget=1 << 40, reserve=0, pressure=100.0)

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.getuid() != 0, reason="needs root, to open by handle")]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory on a disk: what is in a tmpfs never leaves the cache."""
    with tempfile.TemporaryDirectory(prefix="mlosd-open-", dir="/var/tmp") as folder:
        root = Path(folder).resolve()
        root.chmod(0o755)
        mount = mountinfo.of(root, mountinfo.read())
        if mount is None or mount.fstype in ("tmpfs", "ramfs", "overlay"):
            pytest.skip("/var/tmp is not on a disk's file system")
        yield root


@pytest.fixture
def large(place: Path) -> Path:
    """A file larger than any read-ahead window, on the disk and not in memory."""
    path = place / "large.bin"
    with path.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    let_go(path)
    return path


def let_go(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    dont_need(fd)
    try:
        if resident(fd, offset=0, length=SIZE):
            pytest.skip("the pages of this file stay where they are")
    except OSError as e:
        pytest.skip(f"cachestat(2): {e.strerror}")
    finally:
        os.close(fd)


def share(path: Path) -> float:
    """How much of a file is in memory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        return resident(fd, offset=0, length=size) / size
    finally:
        os.close(fd)


def row(root: Path, name: str) -> Row:
    """What the table knows of a file."""
    handle = name_to_handle_at(root / name)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return str(filesystem_id(fd)), handle.type, handle.bytes, os.fsencode(root), os.fsencode(name)
    finally:
        os.close(fd)


def found(*rows: Row, reader: Reader | None = None, warmth: Warmth | None = None) -> Found:
    """Look for the files, and warm them when `warmth` is given."""
    resolver, result = Resolver(reader, remote=False, mounts=mountinfo.read()), Found()
    resolver.find(rows, result)
    if warmth is not None:
        warm(result.targets, resolver, warmth, threads=2)
    resolver.close()
    return result


def test_a_large_file_ends_up_in_memory_all_of_it(large: Path) -> None:
    warmth = Warmth(ROOMY, told=lambda: None)
    found(row(large.parent, large.name), warmth=warmth)
    assert share(large) >= 0.99
    assert (warmth.progress.warmed, warmth.progress.resident) == (SIZE, 0)


def test_one_call_for_the_whole_file_does_not_do_that(large: Path) -> None:
    """Why the warmer reads: the kernel serves one read-ahead window a call."""
    fd = os.open(large, os.O_RDONLY)
    os.posix_fadvise(fd, 0, SIZE, os.POSIX_FADV_WILLNEED)
    os.close(fd)
    assert share(large) < 0.99


def test_what_was_warmed_is_mapped_with_few_faults(large: Path) -> None:
    """Asked for by posix_fadvise, each page would be one of its own, and a fault would map sixteen."""
    found(row(large.parent, large.name), warmth=Warmth(ROOMY, told=lambda: None))
    with large.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        before = resource.getrusage(resource.RUSAGE_SELF)
        for at in range(0, SIZE, mmap.PAGESIZE):
            pages[at]
        after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_majflt == before.ru_majflt
    assert after.ru_minflt - before.ru_minflt <= SIZE // mmap.PAGESIZE // 16 * 1.1


def test_what_is_in_memory_is_not_read_again(large: Path) -> None:
    large.read_bytes()
    warmth = Warmth(ROOMY, told=lambda: None)
    found(row(large.parent, large.name), warmth=warmth)
    assert (warmth.progress.warmed, warmth.progress.resident) == (0, SIZE)


def test_the_budget_is_kept(large: Path) -> None:
    warmth = Warmth(Limits(budget=20 << 20, reserve=0, pressure=100), told=lambda: None)
    found(row(large.parent, large.name), warmth=warmth)
    assert warmth.stopped == "the budget is used up"
    assert 0 < warmth.progress.warmed <= 20 << 20
    assert share(large) < 0.9  # the kernel has read ahead, too


def test_a_file_that_was_moved_is_found_by_its_handle(place: Path) -> None:
    (place / "before").write_text("x")
    known = row(place, "before")
    (place / "deep").mkdir()
    (place / "before").rename(place / "deep/after")
    assert found(known).by == {"handle": 1, "path": 0}


def test_a_file_that_was_replaced_is_found_by_its_path(place: Path) -> None:
    (place / "model").write_text("old")
    known = row(place, "model")
    held = os.open(place / "model", os.O_RDONLY)  # as the registry holds what it has not yet stored
    (place / "new").write_text("newer")
    (place / "new").rename(place / "model")
    result = found(known)
    os.close(held)
    assert (result.by, [target.size for target in result.targets]) == ({"handle": 0, "path": 1}, [5])


def test_a_file_that_is_gone_is_missing_and_a_link_in_its_place_is_not_followed(place: Path) -> None:
    (place / "a").write_text("x")
    known = row(place, "a")
    (place / "a").unlink()
    assert found(known).without["missing"] == 1
    (place / "a").symlink_to("/etc/shadow")
    assert found(known).without["missing"] == 1


def test_a_handle_opens_no_file_that_whoever_asks_may_not_read(place: Path) -> None:
    (place / "secret").write_text("x")
    (place / "secret").chmod(0o600)
    (place / "open").write_text("x")
    rows = row(place, "secret"), row(place, "open")
    result = found(*rows, reader=ANN)
    assert (len(result.targets), result.without["refused"]) == (1, 1)
    assert found(*rows).without["refused"] == 0


def test_a_directory_of_data_is_warmed_as_far_as_one_may_look(place: Path) -> None:
    (place / "data/closed").mkdir(parents=True)
    for name in ("a", "closed/b"):
        (place / "data" / name).write_text("xyz")
    (place / "data/closed").chmod(0o700)
    assert [target.size for target in found(row(place, "data"), reader=ANN).targets] == [3]
    assert len(found(row(place, "data")).targets) == 2


def test_what_warming_is_worth_is_measured_from_run_to_run(place: Path, large: Path) -> None:
    async def live() -> Gain | None:
        database = Database(place / "mlosd.db")
        project = ProjectRow("p1", "flights", str(place), 0, "dev", 1.0)
        filesystem, kind, handle, *_ = row(place, large.name)
        seen = FoundRow(
            role="dataset", path=large.name, name=os.fsencode(large.name), filesystem=filesystem, handle_type=kind,
            handle=handle, parent_type=1, parent=b"", inode=large.stat().st_ino, size=SIZE, mtime_ns=0, ctime_ns=0,
        )  # fmt: skip
        await Projects(database).add(project, [seen])
        edge = Edge(7, database.read("SELECT number FROM version")[0][0], READ, 0)
        await Runs(database).insert(
            [Run(7, "p1", 0, "dev", 0, "DONE", "ok", 0.0, 1.0, "boot", "{}", "{}")], first=lambda: None
        )
        await database.write(
            lambda c: record(c, 7, state="complete", reasons=[], facts="{}", edges=[edge], processes=[])
        )
        warming = Warming(database)
        gains, me = Gains(warming), Reader(0, 0, ())
        for run, waited, before in ((8, 3_000_000, let_go), (9, 1_000_000, Path.read_bytes), (10, None, let_go)):
            before(large)
            gains.begin(run, "p1", me)
            await asyncio.sleep(0.2)
            gains.end(run, waited)
        gains.end(11, 5)
        await asyncio.sleep(0.05)
        gain = warming.gain("p1")
        await database.close()
        return gain

    assert asyncio.run(live()) == Gain(1, 2.0, 2.0 / 3.0)


def opened(mlosd: Mlosd, project: str, **more: Any) -> dict[str, Any]:
    with mlosd.connect() as connection:
        *_, last = connection.stream("io.mlosd.Projects.Open", {"project": project, **more})
    result: dict[str, Any] = last["opened"]
    return result


def test_a_user_opens_a_project_through_the_daemon(place: Path, large: Path) -> None:
    project = place / "project"
    (project / "data").mkdir(parents=True)
    large.rename(project / "data/large.bin")
    (project / "train.py").write_text("print()\n")
    for path in (project, *project.rglob("*")):
        os.chown(path, ANN.uid, ANN.gid)
    (place / "daemon").mkdir(mode=0o755)
    with Mlosd(place / "daemon/root") as mlosd:
        mlosd.call("io.mlosd.Projects.Add", path=str(project), name="flights")
        os.chown(project / "train.py", 0, 0)
        (project / "train.py").chmod(0o600)
        told = opened(mlosd, "flights")
        assert (told["by_handle"], told["total"], told["warmed"]) == (2, SIZE + 8, SIZE)
        assert share(project / "data/large.bin") >= 0.99
        assert told["saves"] is not None
        assert not told["measured"]
        if somebody.can_import(ANN.uid, "mlosd.client"):
            code = (
                "from mlosd.client import Connection\n"
                f"c = Connection.open({str(mlosd.socket)!r})\n"
                "*_, last = c.stream('io.mlosd.Projects.Open', {'project': 'flights'})\n"
                "print(last['opened']['resident'], last['opened']['refused'])\n"
            )
            said = somebody.run_python(ANN.uid, code)
            assert said.stdout.split() == [str(SIZE), "1"], said.stderr
