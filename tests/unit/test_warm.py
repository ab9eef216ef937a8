"""Warming decides in numbers: what comes first, when it stops, what it was worth."""

import asyncio
import os
import statistics
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.fakes.tree import materialize

from mlosd.cli import opened_project, progress
from mlosd.core.errors import Refused
from mlosd.kernel import mountinfo
from mlosd.kernel.file_handle import FileHandle
from mlosd.projects import gain as gains
from mlosd.projects import open as opening_module
from mlosd.projects.open import Opening, Policy, Wish, estimate
from mlosd.projects.resolve import Found, Reader, Resolver, Target, is_on_remote
from mlosd.projects.warm import Limits, Warmth, too_tight, warm, warm_file
from mlosd.store.db import Database
from mlosd.store.lineage import Edge, record
from mlosd.store.projects import Found as FoundRow
from mlosd.store.projects import ProjectRow, Projects
from mlosd.store.warming import Gain, Warming, gain

ROOMY = Limits(budget=1 << 40, reserve=0, pressure=100.0)
MEMORY = "MemTotal: 16 kB\nMemFree: 4 kB\nMemAvailable: {} kB\nSwapTotal: 2 kB\nSwapFree: 1 kB\n"
WAITED = "some avg10={} avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


@pytest.mark.parametrize(
    ("available", "waited", "why"),
    [("1024", "0.00", None), ("1023", "0.00", "memory is short"), ("1024", "7.50", "programs waited for memory 7.5 %")],
)
def test_it_stops_where_memory_is_short(tmp_path: Path, available: str, waited: str, why: str | None) -> None:
    proc = materialize(tmp_path, {"meminfo": MEMORY.format(available), "pressure/memory": WAITED.format(waited)})
    said = too_tight(Limits(budget=1, reserve=1 << 20, pressure=5.0), proc)
    assert said is None if why is None else said is not None and said.startswith(why)


def test_a_kernel_that_does_not_tell_of_pressure_stops_nobody(tmp_path: Path) -> None:
    assert too_tight(ROOMY, tmp_path) is None
    assert too_tight(ROOMY, materialize(tmp_path, {"pressure/memory": "nonsense", "meminfo": ""})) is None


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(5 << 20))
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    yield fd
    os.close(fd)


def without_cachestat(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, *, offset: int, length: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("mlosd.projects.warm.resident", refuse)


def test_every_byte_of_a_file_is_seen_to(file: int) -> None:
    warmth = Warmth(ROOMY, told=lambda: None)
    warm_file(file, 5 << 20, warmth, bytearray(1 << 20))
    assert (warmth.progress.done, warmth.progress.unread) == (5 << 20, 0)


def test_an_older_kernel_reads_it_all(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    without_cachestat(monkeypatch)
    warmth = Warmth(ROOMY, told=lambda: None)
    warm_file(file, 5 << 20, warmth, bytearray(1 << 20))
    assert warmth.progress.warmed == 5 << 20


def test_no_more_is_read_than_the_budget_has(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    without_cachestat(monkeypatch)
    warmth = Warmth(Limits(budget=1 << 20, reserve=0, pressure=100), told=lambda: None)
    warm_file(file, 5 << 20, warmth, bytearray(1 << 20))
    assert (warmth.progress.done, warmth.stopped) == (0, "the budget is used up")


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    warmth = Warmth(ROOMY, told=lambda: None)
    resolver = Resolver(None, remote=False, mounts=())
    gone = Target(None, FileHandle(0, b""), os.fsencode(tmp_path / "gone"), 100)
    warm([gone], resolver, warmth, threads=2)
    assert (warmth.progress.unread, warmth.stopped) == (100, None)


def test_who_is_told_to_stop_stops_before_the_next_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    warmth = Warmth(ROOMY, told=lambda: None)
    warmth.stop("first")
    warmth.stop("second")
    warm(
        [Target(None, FileHandle(0, b""), os.fsencode(tmp_path.resolve() / "a"), 100)],
        Resolver(None, remote=False, mounts=()),
        warmth,
        threads=1,
    )
    assert (warmth.progress.done, warmth.stopped) == (0, "first")


def found(root: Path, *names: str, reader: Reader | None = None, mounts: str = "") -> Found:
    """What a resolver without handles makes of these paths."""
    result = Found()
    resolver = Resolver(reader, remote=False, mounts=mountinfo.parse(mounts))
    resolver.find([("fsid:0", 0, b"", os.fsencode(root), os.fsencode(name)) for name in names], result)
    resolver.close()
    return result


def test_a_file_is_found_once_by_any_of_its_names(tmp_path: Path) -> None:
    root = materialize(tmp_path.resolve(), {"a": "12", "data/b": "345", "data/deep/c": "6"})
    (root / "link").hardlink_to(root / "a")
    os.mkfifo(root / "fifo")
    (root / "symbolic").symlink_to("a")
    result = found(root, "a", "a", "link", "data", "data/b", "gone", "symbolic", "fifo")
    assert [(os.fsdecode(t.path).removeprefix(f"{root}/"), t.size) for t in result.targets] == [
        ("a", 2),
        ("data/b", 3),
        ("data/deep/c", 1),
    ]
    assert result.without == {"missing": 2, "refused": 0, "remote": 0}


def test_files_below_a_network_mount_are_not_looked_at(tmp_path: Path) -> None:
    root = materialize(tmp_path.resolve(), {"a": "", "far/b": ""})
    mounts = f"27 1 254:0 / / rw - ext4 /dev/vda rw\n30 27 0:50 / {root}/far rw - nfs4 server:/ rw\n"
    result = found(root, "a", "far/b", mounts=mounts)
    assert (len(result.targets), result.without["remote"]) == (1, 1)
    parsed = mountinfo.parse(mounts)
    assert is_on_remote(root / "far/x", parsed)
    assert not is_on_remote(root, parsed)


def test_gain_is_the_difference_of_the_medians() -> None:
    assert gain([], [1.0]) is None
    assert gain([1.0], []) is None
    assert gain([10.0, 12.0, 90.0], [3.0]) == Gain(1, 9.0, 0.75)
    assert gain([0.0], [0.0]) == Gain(1, 0.0, 0.0)


@given(some.lists(some.floats(0, 1e6), min_size=1), some.lists(some.floats(0, 1e6), min_size=1))
def test_a_gain_is_never_more_than_the_wait(cold: list[float], warm_: list[float]) -> None:
    found = gain(cold, warm_)
    assert found is not None
    assert found.seconds <= statistics.median(cold)
    assert found.share <= 1.0


@pytest.mark.parametrize(
    ("pairs", "share", "worth"), [(4, 0.0, True), (5, 0.04, False), (5, 0.05, True), (9, -1, False)]
)
def test_a_project_is_warmed_until_it_was_measured_not_to_matter(pairs: int, share: float, worth: bool) -> None:
    assert Gain(pairs, 1.0, share).is_worth_it is worth


@pytest.mark.parametrize(
    ("there", "total", "kind"),
    [(0, 1 << 30, "cold"), (1 << 30, 1 << 30, "warm"), (1 << 29, 1 << 30, None), (0, 1 << 20, None), (0, 0, None)],
)
def test_a_run_is_cold_or_warm_or_tells_nothing(there: int, total: int, kind: str | None) -> None:
    assert gains.kind_of(there, total) == kind


def test_an_estimate_leaves_out_what_reading_from_memory_takes() -> None:
    assert estimate(warmed=100, seconds=10.0, memory_rate=50.0) == 8.0
    assert estimate(warmed=100, seconds=1.0, memory_rate=50.0) == 0.0
    assert estimate(warmed=100, seconds=1.0, memory_rate=None) == 1.0


PROJECT = ProjectRow("p1", "flights", "/home/ann/flights", 0, "dev", 1.0)


def row(name: str, number: int) -> FoundRow:
    return FoundRow(
        role="root" if name == "." else "dataset", path=name, name=os.fsencode(name), filesystem="uuid:a",
        handle_type=1, handle=number.to_bytes(8, "big"), parent_type=1, parent=b"p", inode=number, size=number,
        mtime_ns=0, ctime_ns=0,
    )  # fmt: skip


def with_database(tmp_path: Path, work: Callable[[Database], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        database = Database(tmp_path / "x.db")
        try:
            await Projects(database).add(PROJECT, [row(".", 9), row("a", 1), row("b", 2), row("c", 3)])
            await work(database)
        finally:
            await database.close()

    asyncio.run(main())


def test_the_order_is_that_of_the_last_run(tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        warming = Warming(database)
        first = warming.plan(PROJECT)
        assert (first.run, first.used) == (None, [])
        assert sorted(path for *_, path in first.rest) == [b"a", b"b", b"c"]
        assert warming.plan(PROJECT) is first
        numbers = dict(database.read("SELECT r.path, v.number FROM version v JOIN resource r ON r.id = v.resource"))

        def ran(connection: object) -> None:
            edges = [Edge(7, numbers["c"], 1, 10), Edge(7, numbers["a"], 4, 20), Edge(7, numbers["b"], 2, 5)]
            record(connection, 7, state="complete", reasons=[], facts="{}", edges=edges, processes=[])  # type: ignore[arg-type]

        await database.write(ran)
        second = warming.plan(PROJECT)
        assert second.run == 7
        assert [(root, path) for *_, root, path in second.used] == [
            (b"/home/ann/flights", b"c"),
            (b"/home/ann/flights", b"a"),
        ]
        assert [path for *_, path in second.rest] == [b"b"]
        assert [path for *_, path in warming.largest("p1", most=1)] == [b"c"]

    with_database(tmp_path, work)


def test_measurements_are_remembered_and_the_oldest_forgotten(tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        warming = Warming(database)
        assert warming.gain("p1") is None
        await warming.record("p1", "cold", bytes_=1, seconds=1000.0)
        for number in range(100):
            await warming.record("p1", "cold" if number % 2 else "warm", bytes_=1, seconds=4.0 if number % 2 else 1.0)
        assert warming.gain("p1") == Gain(50, 3.0, 0.75)

    with_database(tmp_path, work)


def test_a_project_that_gains_nothing_is_not_warmed_unless_asked(tmp_path: Path) -> None:
    root = materialize(tmp_path.resolve() / "flights", {"a": "xy"})
    project = ProjectRow("p2", "flights2", str(root), os.getuid(), "dev", 1.0)

    async def opened(opening: Opening, wish: Wish) -> dict[str, object]:
        async for reply in opening.open(project, Reader(os.getuid(), os.getgid(), ()), wish):
            last = reply
        return dict(last["opened"])

    async def work(database: Database) -> None:
        await Projects(database).add(project, [row("a", 11)])
        warming = Warming(database)
        for _ in range(5):
            await warming.record("p2", "cold", bytes_=1, seconds=1.0)
            await warming.record("p2", "warm", bytes_=1, seconds=0.99)
        opening = Opening(warming=warming, policy=Policy(50, 0, 100.0, 2), emit=lambda event: None)
        lazy = await opened(opening, Wish())
        assert lazy["stopped"] == "warming saved 1% of the wait in 5 measured pairs: it is off"
        assert (lazy["by_path"], lazy["resident"]) == (1, 0)
        forced = await opened(opening, Wish(force=True))
        assert (forced["stopped"], forced["total"]) == (None, 2)

    with_database(tmp_path, work)


def test_a_project_on_a_network_file_system_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_module, "is_on_remote", lambda path, mounts: True)

    async def work(database: Database) -> None:
        opening = Opening(warming=Warming(database), policy=Policy(50, 0, 100.0, 2), emit=lambda event: None)
        with pytest.raises(Refused, match="network file system"):
            await anext(opening.open(PROJECT, Reader(0, 0, ()), Wish()))

    with_database(tmp_path, work)


OPENED = {
    "project": "flights", "run": 7, "resources": 12, "by_handle": 9, "by_path": 1, "missing": 2, "refused": 0,
    "remote": 0, "total": 4 << 30, "warmed": 1 << 30, "resident": 3 << 30, "unread": 0, "seconds": 2.0, "saves": 1.5,
    "measured": False, "pairs": 0, "stopped": None,
}  # fmt: skip


def test_people_are_told_what_was_found_and_what_it_saves() -> None:
    assert dict(opened_project.facts(OPENED)) == {
        "resources": "12: 9 by handle, 1 by path, 2 missing",
        "order": "that of job 7",
        "in memory": "4G of 4G (100 %)",
        "read now": "1G in 2s",
        "saves": "about 1.5s of waiting in the next run (an estimate)",
    }
    measured = dict(opened_project.facts({**OPENED, "measured": True, "pairs": 6, "stopped": "memory is short"}))
    assert measured["saves"] == "1.5s of waiting in the next run (measured, 6 cold and warm runs)"
    assert measured["stopped"] == "memory is short"


@pytest.mark.parametrize(("done", "total", "filled"), [(0, 0, 0), (0, 10, 0), (5, 10, 12), (10, 10, 24)])
def test_a_bar_is_as_long_as_what_is_done(done: int, total: int, filled: int) -> None:
    assert progress.bar(done, total).count("#") == filled
