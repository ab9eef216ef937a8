"""From a trace to rows: a small world of real files, each known by a handle of our own making."""

import asyncio
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from mlosd.content.identity import Content, ContentUnreadable, Identity
from mlosd.kernel.file_handle import FileHandle
from mlosd.kernel.trace import Again, Begin, Closed, Covered, End, File, Partial, Process, Record, Renamed
from mlosd.lineage.account import account
from mlosd.lineage.filesystems import Filesystems
from mlosd.lineage.ingest import AT_ONCE, Ingest
from mlosd.lineage.places import Root
from mlosd.lineage.subject import Subject
from mlosd.store.db import Database
from mlosd.store.projects import ProjectRow, Projects
from mlosd.store.versions import Seen, Versions

BEGUN = 10**15
UID = os.getuid()


class World:
    """A project directory, a database, and runs that use files."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.root = directory / "project"
        self.root.mkdir()
        self.database = Database(directory / "mlosd.db")
        self.hashed: list[bytes] = []
        self.tops: list[str] = []
        self.contents: dict[bytes, Identity] = {}
        self.handles: dict[int, bytes] = {}
        self.clock = 10**9
        self.ingest = Ingest(
            database=self.database,
            versions=Versions(self.database),
            digests=self,
            filesystems=cast(Filesystems, self),
            roots=lambda uid: [Root("p", os.fsencode(self.root))] if uid == UID else [],
            tops=lambda project: self.tops,
            settle=self.settle,
            largest=1 << 20,
        )
        self.elsewhere: str = self.loop.run_until_complete(self._projects())

    async def _projects(self) -> str:
        projects = Projects(self.database)
        await projects.add(ProjectRow("p", "p", str(self.root), UID, "dev", 0.0), [])
        return await projects.elsewhere(UID)

    # What Ingest asks of file systems and of the reader.

    def cover(self, covered: Covered) -> None: ...

    async def settle(self, project: str) -> None: ...

    def name(self, fsid: str) -> str:
        return f"fsid:{fsid}"

    def open(self, fsid: str, handle: FileHandle) -> int:
        inode = next(inode for inode, known in self.handles.items() if known == handle.bytes)
        for path in self.root.parent.rglob("*"):
            if path.is_file() and path.stat().st_ino == inode:
                return os.open(path, os.O_RDONLY)
        raise FileNotFoundError(fsid)

    async def read_many(self, files: Sequence[tuple[int, bytes]]) -> list[Content | ContentUnreadable]:
        results: list[Content | ContentUnreadable] = []
        for fd, name in files:
            data = os.pread(fd, 1 << 20, 0)
            self.hashed.append(name)
            identity = self.contents.get(data, Identity("text", None))
            results.append(Content(identity, hashlib.sha256(data).digest(), len(data)))
        return results

    # What a keeper would have seen.

    def write(self, name: str, data: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.clock += 10**9
        os.utime(path, ns=(self.clock, self.clock))
        return path

    def file(self, number: int, path: Path, *, modes: str = "r", new: bool = False) -> File:
        status = path.stat()
        handle = self.handles.setdefault(status.st_ino, f"{status.st_ino}-{len(self.handles)}".encode())
        born = BEGUN + 10**6 if new else 1
        times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, born)
        return File(number, number, 42, modes, "0" * 16, 1, handle, 1, b"d", status.st_ino, *times, os.fsencode(path))

    def closed(self, number: int, path: Path) -> Closed:
        status = path.stat()
        return Closed(number, 9, 42, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def run(self, id_: int, *records: Record) -> None:
        subject = Subject(id_, UID, UID, (), "p", "/", ("true",), {}, ())
        told = account([Begin(BEGUN, 0), *records, End(99)])
        self.loop.run_until_complete(self.ingest.ingest(subject, told, elsewhere=self.elsewhere, facts="{}"))

    def edges(self, run: int) -> list[tuple[Any, ...]]:
        return self.database.read(
            "SELECT r.path, r.role, e.modes & 7, v.digest IS NOT NULL, v.made_by FROM edge e"
            " JOIN version v ON v.number = e.version JOIN resource r ON r.id = v.resource"
            " WHERE e.run = ? ORDER BY e.first_use_ns, v.number",
            (run,),
        )

    def close(self) -> None:
        self.loop.run_until_complete(self.database.close())
        self.loop.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_a_run_knows_what_it_read_and_what_it_wrote(world: World) -> None:
    data, model = world.write("data/a.csv", b"1,2\n"), world.write("models/m.bin", b"weights")
    world.contents[b"weights"] = Identity("safetensors", "model")
    world.run(1, world.file(0, data), world.file(1, model, new=True), world.closed(1, model))
    assert world.edges(1) == [("data/a.csv", "component", 1, 1, None), ("models/m.bin", "model", 2, 1, 1)]
    assert world.database.read("SELECT state FROM lineage WHERE run = 1") == [("complete",)]


def test_nothing_is_digested_twice(world: World) -> None:
    data = world.write("data/a.csv", b"1,2\n")
    world.run(1, world.file(0, data))
    world.run(2, world.file(0, data))
    assert world.hashed == [b"a.csv"]
    assert world.database.read("SELECT count(DISTINCT version) FROM edge") == [(1,)]


def test_a_run_of_very_many_files_is_written_in_pieces_that_others_can_write_between(world: World) -> None:
    data = world.write("a.csv", b"1")
    files = [replace(world.file(n, data), handle=b"h%d" % n, path=b"/gone/%d" % n, size=-1) for n in range(3 * AT_ONCE)]
    world.handles |= {-n: b"h%d" % n for n in range(3 * AT_ONCE)}
    seen: list[int] = []

    async def somebody() -> None:
        while not world.edges(1):
            await asyncio.sleep(0)
        while not seen or seen[-1] < len(files):
            await world.database.write(lambda connection: None)
            seen.append(len(world.edges(1)))

    other = world.loop.create_task(somebody())
    world.run(1, *files)
    world.loop.run_until_complete(asyncio.wait_for(other, 10))
    assert seen[0] < len(files)
    assert len(set(seen)) > 1


def test_a_run_whose_recording_was_cut_short_is_recorded_again_as_if_for_the_first_time(world: World) -> None:
    old, data = world.write("old.csv", b"0"), world.write("a.csv", b"1")
    world.run(1, world.file(0, old), world.file(1, data))

    async def cut_short() -> None:
        await world.database.write(lambda connection: connection.execute("DELETE FROM lineage"))

    world.loop.run_until_complete(cut_short())
    world.run(1, world.file(0, data))
    assert [path for path, *_ in world.edges(1)] == ["a.csv"]
    assert world.database.read("SELECT run, state FROM lineage") == [(1, "complete")]


def test_a_file_changed_in_place_has_one_version_that_was_read_and_one_that_was_written(world: World) -> None:
    data = world.write("state.json", b"{}")
    world.run(1, world.file(0, data))
    seen = world.file(0, data)
    world.write("state.json", b'{"a": 1}')
    world.run(2, seen, world.closed(0, data))
    assert world.edges(2) == [("state.json", "component", 1, 1, None), ("state.json", "component", 2, 1, 2)]


def test_what_changed_before_it_could_be_read_has_a_version_without_a_digest(world: World) -> None:
    data = world.write("data/a.csv", b"old")
    seen = world.file(0, data)
    world.write("data/a.csv", b"newer")
    world.run(1, seen)
    assert world.edges(1) == [("data/a.csv", "component", 1, 0, None)]


def test_a_file_that_was_made_and_removed_is_temporary(world: World) -> None:
    scratch = world.write("scratch", b"x")
    seen, closed = world.file(0, scratch, new=True), world.closed(0, scratch)
    scratch.unlink()
    world.run(1, seen, closed)
    assert world.edges(1) == [("scratch", "temporary", 2, 0, 1)]


def test_a_save_through_a_temporary_name_is_the_file_that_it_became(world: World) -> None:
    first = world.write("m.pt", b"one")
    world.run(1, world.file(0, first, new=True), world.closed(0, first))
    temporary = world.write("m.pt.tmp", b"two")
    seen, closed = world.file(0, temporary, new=True), world.closed(0, temporary)
    temporary.rename(first)
    status = first.stat()
    closed = Closed(0, 9, 42, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    world.run(2, seen, closed, Renamed(0, 10, 42, os.fsencode(first)))
    assert world.database.read("SELECT path FROM resource WHERE project = 'p'") == [("m.pt",)]
    assert world.database.read("SELECT made_by FROM version ORDER BY number") == [(1,), (2,)]


def test_a_file_that_was_gone_before_anybody_looked_is_the_version_last_known_of_it(world: World) -> None:
    data = world.write("data/a.csv", b"1,2\n")
    seen = world.file(0, data)
    world.run(1, seen)
    world.run(2, replace(seen, size=-1, mtime_ns=0, ctime_ns=0))
    assert world.database.read("SELECT count(*) FROM version") == [(1,)]
    assert world.edges(2) == [("data/a.csv", "component", 1, 1, None)]


def test_files_of_a_large_dataset_are_one_edge_to_its_directory(world: World) -> None:
    first, second = world.write("images/a.png", b"a"), world.write("images/b.png", b"b")
    world.tops.append("images")
    images = Seen("p", "images", "dataset", "declared", "fsid:0", 1, b"images", 1, b"d", b"images", 9, 2, 1, 1)
    before = replace(images, digest=b"before", manifest=b"before", format="directory")
    versions = Versions(world.database)

    async def see(seen: Seen, at: float) -> int:
        return await versions.see(seen, run=None, at=at)

    read = world.loop.run_until_complete(see(before, 0.0))
    world.run(1, world.file(0, first), world.file(1, second))
    after = replace(before, digest=b"after", manifest=b"after", mtime_ns=2, ctime_ns=2)
    written = world.loop.run_until_complete(see(after, BEGUN / 1e9 + 1))
    world.run(2, world.file(0, first), world.file(1, second, new=True), world.closed(1, second))
    edges = world.database.read("SELECT run, version, modes & 7 FROM edge ORDER BY run, modes")
    assert edges == [(1, read, 1), (2, read, 1), (2, written, 2)]
    assert world.hashed == []
    assert world.database.read("SELECT made_by FROM version WHERE number = ?", (written,)) == [(2,)]


def test_a_file_of_no_project_is_its_owners_elsewhere(world: World) -> None:
    other = world.root.parent / "other.csv"
    other.write_bytes(b"1")
    world.run(1, world.file(0, other))
    [(path, project)] = world.database.read("SELECT path, project FROM resource")
    assert (path, project) == (str(other), world.elsewhere)


def test_a_run_that_was_not_seen_whole_says_why(world: World) -> None:
    world.run(1, Partial("overflow: some files are missing"))
    [(state, reasons)] = world.database.read("SELECT state, reasons FROM lineage")
    assert (state, reasons) == ("partial", '["overflow: some files are missing"]')


def test_recording_a_run_again_changes_nothing(world: World) -> None:
    data = world.write("data/a.csv", b"1,2\n")
    records = (world.file(0, data, modes="rx"), Again(0, 3, "r"), Process(1, 42, 0, b"/bin/sh"))
    world.run(1, *records)
    before = [world.edges(1), world.database.read("SELECT * FROM process")]
    world.run(1, *records)
    assert [world.edges(1), world.database.read("SELECT * FROM process")] == before
    assert before[0] == [("data/a.csv", "component", 5, 1, None)]


def test_names_of_any_bytes_are_kept(world: World) -> None:
    odd = Path(os.fsdecode(os.fsencode(world.root) + b"/a\xff\n\\b"))
    odd.write_bytes(b"x")
    world.run(1, world.file(0, odd))
    [(path, name)] = world.database.read("SELECT CAST(r.path AS BLOB), b.name FROM binding b JOIN resource r")
    assert (path, name) == (b"a\xff\n\\b", b"a\xff\n\\b")
