"""The database: durable groups, migrations that only add, and what it refuses."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.fakes.jobs import job

from mlosd.core.errors import Refused, StoreRefused
from mlosd.jobs import records
from mlosd.kernel import mountinfo
from mlosd.store.db import Database
from mlosd.store.projects import Projects
from mlosd.store.runs import Runs
from mlosd.store.schema import MIGRATIONS, Migration

OLD = Path(__file__).parent.parent / "data" / "mlosd-schema1.db"


def insert(connection: apsw.Connection, name: str = "x") -> None:
    connection.execute(
        "INSERT INTO project (id, name, root, owner, environment, added_at) VALUES (?, ?, '/', 0, 'dev', 0)",
        (name, name),
    )


def open_database(path: Path, **options: object) -> Database:
    return Database(path, **options)  # type: ignore[arg-type]


def close(database: Database) -> None:
    asyncio.run(database.close())


def test_what_was_acknowledged_is_there_after_opening_again(tmp_path: Path) -> None:
    async def write() -> None:
        database = open_database(tmp_path / "mlosd.db")
        await database.write(insert)
        await database.close()

    asyncio.run(write())
    again = open_database(tmp_path / "mlosd.db")
    assert Projects(again).count() == 1
    close(again)


def test_one_piece_of_work_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    async def write() -> int:
        database = open_database(tmp_path / "mlosd.db")

        def fail(connection: apsw.Connection) -> None:
            insert(connection, "half")
            raise ValueError("no")

        results = await asyncio.gather(
            database.write(insert),
            database.write(fail),
            database.write(lambda c: insert(c, "y")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), ValueError, type(None)]
        count = Projects(database).count()
        await database.close()
        return count

    assert asyncio.run(write()) == 2


def test_many_writes_share_few_commits(tmp_path: Path) -> None:
    async def write() -> int:
        database = open_database(tmp_path / "mlosd.db")
        commits = 0

        def count() -> bool:
            nonlocal commits
            commits += 1
            return False

        database._writer.set_commit_hook(count)
        futures = [database.write(lambda c, n=str(n): insert(c, n)) for n in range(500)]  # type: ignore[misc]
        await asyncio.gather(*futures)
        await database.close()
        return commits

    assert asyncio.run(write()) < 100


def test_a_full_disk_refuses_the_write_and_keeps_what_was_there(tmp_path: Path) -> None:
    async def write() -> None:
        database = open_database(tmp_path / "mlosd.db")

        def fill(connection: apsw.Connection) -> None:
            for number in range(10000):
                insert(connection, str(number))

        await database.write(insert)
        pages = database._writer.pragma("page_count")
        database._writer.pragma("max_page_count", pages)
        with pytest.raises(Refused, match="is full"):
            await database.write(fill)
        database._writer.pragma("max_page_count", 1 << 30)
        await database.write(lambda c: insert(c, "after"))
        assert Projects(database).count() == 2
        await database.close()

    asyncio.run(write())


def test_an_old_database_opens_with_a_backup_beside_it(tmp_path: Path) -> None:
    path = Path(shutil.copy(OLD, tmp_path / "mlosd.db"))
    database = open_database(path)
    assert database.schema == MIGRATIONS[-1].version
    assert [project.name for project in Projects(database).all()] == ["flights"]
    assert {resource.path for resource in Projects(database).resources(Projects(database).all()[0].id)} == {
        ".",
        "train.py",
        "data/flights.csv",
    }
    close(database)
    [backup] = tmp_path.glob("*.bak")
    with apsw.Connection(str(backup)) as copy:
        assert copy.pragma("user_version") == 1
        assert copy.pragma("integrity_check") == "ok"


def test_a_database_with_runs_of_before_lineage_opens_and_its_versions_get_numbers(tmp_path: Path) -> None:
    path = Path(shutil.copy(OLD.with_name("mlosd-schema2.db"), tmp_path / "mlosd.db"))
    database = open_database(path)
    assert [run.result for run in Runs(database).newest(limit=9)] == ["failed", "ok"]
    numbers = [number for (number,) in database.read("SELECT number FROM version ORDER BY number")]
    assert numbers == [1, 2, 3]
    close(database)


@pytest.mark.parametrize("known", range(1, len(MIGRATIONS)))
def test_the_programs_before_this_one_still_work_on_the_new_schema(tmp_path: Path, known: int) -> None:
    close(open_database(tmp_path / "mlosd.db"))

    async def use() -> None:
        older = open_database(tmp_path / "mlosd.db", migrations=MIGRATIONS[:known])
        assert older.schema == MIGRATIONS[-1].version
        await older.write(insert)
        await older.close()

    asyncio.run(use())
    newer = open_database(tmp_path / "mlosd.db")
    assert Projects(newer).count() == 1
    close(newer)


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    path = Path(shutil.copy(OLD, tmp_path / "mlosd.db"))

    class Broken(Migration):
        __slots__ = ()

        def sql(self) -> str:
            return "CREATE TABLE half (x); CREATE TABLE syntax error;"

    with pytest.raises(StoreRefused):
        open_database(path, migrations=(*MIGRATIONS[:1], Broken(version=2, usable_since=1, file="")))
    with apsw.Connection(str(path)) as connection:
        assert connection.pragma("user_version") == 1
        assert not list(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'"))
    close(open_database(path))


def test_only_so_many_backups_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"mlosd-schema1-2020010{number}T000000.bak").touch()
    path = Path(shutil.copy(OLD, tmp_path / "mlosd.db"))
    close(open_database(path, keep_backups=2))
    assert len(list(tmp_path.glob("*.bak"))) == 2


def test_a_state_that_is_in_use_is_refused_with_the_holder(tmp_path: Path) -> None:
    first = open_database(tmp_path / "mlosd.db")
    with pytest.raises(StoreRefused, match=r"in use by another mlosd \(pid \d+\)"):
        open_database(tmp_path / "mlosd.db")
    close(first)
    close(open_database(tmp_path / "mlosd.db"))


@pytest.mark.parametrize("fstype", ["nfs4", "cifs", "9p"])
def test_a_network_file_system_is_refused(tmp_path: Path, fstype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = mountinfo.read

    def elsewhere() -> tuple[object, ...]:
        from dataclasses import replace

        return tuple(replace(mount, fstype=fstype) for mount in real())

    monkeypatch.setattr(mountinfo, "read", elsewhere)
    with pytest.raises(StoreRefused, match=f"network file system \\({fstype}\\)"):
        open_database(tmp_path / "mlosd.db")


def with_runs(path: Path, act: "Callable[[Runs], object]") -> None:
    async def go() -> None:
        database = open_database(path)
        result = act(Runs(database))
        if asyncio.iscoroutine(result):
            await result
        await database.close()

    asyncio.run(go())


def test_ids_of_runs_are_never_used_again(tmp_path: Path) -> None:
    async def fill(runs: Runs) -> None:
        for _ in range(3):
            await runs.insert([records.new_row(job(runs.new_id()))], first=lambda: None)
        await runs.forget_oldest(keep=0)

    def look(runs: Runs) -> None:
        assert runs.new_id() == 4

    with_runs(tmp_path / "mlosd.db", fill)
    with_runs(tmp_path / "mlosd.db", look)


def test_the_oldest_finished_runs_are_forgotten_and_no_other(tmp_path: Path) -> None:
    from mlosd.jobs.job import Job
    from mlosd.jobs.outcome import never_started

    async def fill(runs: Runs) -> None:
        for id_ in range(1, 6):
            state = never_started("x") if id_ != 1 else job(1).state
            await runs.insert([records.new_row(Job(id_, job(id_).request, 0.0, state))], first=lambda: None)
        assert sorted(await runs.forget_oldest(keep=2)) == [2, 3]
        assert [run.id for run in runs.newest(limit=10)] == [5, 4, 1]

    with_runs(tmp_path / "mlosd.db", fill)
