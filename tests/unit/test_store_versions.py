"""Resource <- binding <- object <- version: what stays and what is new when files change."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlosd.store.db import Database
from mlosd.store.projects import ProjectRow, Projects
from mlosd.store.versions import Digested, Seen, fill, leave, see

PROJECT = "project-1"
FILE = Seen(
    project=PROJECT,
    path="models/m.pt",
    role="model",
    role_by="assumed",
    filesystem="uuid:1",
    handle_type=1,
    handle=b"ino1gen1",
    parent_type=1,
    parent=b"directory",
    name=b"m.pt",
    inode=1,
    size=10,
    mtime_ns=100,
    ctime_ns=100,
)


class Table:
    """One project in a database of its own; every call is a transaction."""

    def __init__(self, path: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.database = Database(path)
        row = ProjectRow(PROJECT, "p", "/p", 0, "dev", 0.0)
        self._now = 0.0
        self._do(self._add(row))

    async def _add(self, row: ProjectRow) -> None:
        await Projects(self.database).add(row, [])

    def see(self, seen: Seen, run: int | None = None) -> int:
        self._now += 1
        number: int = self.write(lambda connection: see(connection, seen, run=run, at=self._now))
        return number

    def fill(self, number: int, digest: bytes) -> int:
        kept: int = self.write(lambda connection: fill(connection, number, Digested(digest, None, None)))
        return kept

    def leave(self, resource: str) -> None:
        self.write(lambda connection: leave(connection, resource, self._now))

    def write(self, work: Any) -> Any:
        async def do() -> Any:
            return await self.database.write(work)

        return self._do(do())

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.database.read(sql)

    def close(self) -> None:
        self._do(self.database.close())
        self.loop.close()

    def _do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    opened = Table(tmp_path / "mlosd.db")
    yield opened
    opened.close()


def versions(table: Table) -> list[tuple[Any, ...]]:
    return table.rows("SELECT number, digest FROM version ORDER BY number")


def resources(table: Table) -> list[str]:
    return [path for (path,) in table.rows("SELECT path FROM resource ORDER BY path")]


def test_a_file_that_is_seen_again_as_it_was_adds_nothing(table: Table) -> None:
    assert table.see(FILE) == table.see(FILE)
    assert len(versions(table)) == 1
    assert table.rows("SELECT count(*) FROM binding") == [(1,)]


def test_replaced_by_a_rename_it_is_the_same_resource_with_a_new_object_and_version(table: Table) -> None:
    first = table.see(replace(FILE, digest=b"A"))
    second = table.see(replace(FILE, handle=b"ino2gen1", inode=2, mtime_ns=200, digest=b"B"), run=7)
    assert first != second
    assert resources(table) == ["models/m.pt"]
    assert table.rows("SELECT made_by FROM version ORDER BY number") == [(None,), (7,)]
    assert table.rows("SELECT count(*) FROM binding WHERE valid_to IS NULL") == [(1,)]


def test_replaced_by_equal_content_it_has_no_new_version(table: Table) -> None:
    first = table.see(replace(FILE, digest=b"A"))
    assert table.see(replace(FILE, handle=b"ino2gen1", inode=2, mtime_ns=200, digest=b"A")) == first
    assert table.rows("SELECT count(*) FROM object") == [(2,)]


def test_what_a_run_wrote_is_its_own_though_somebody_saw_it_first(table: Table) -> None:
    seen = replace(FILE, digest=b"A")
    assert table.see(seen) == table.see(seen, run=7)
    assert table.rows("SELECT made_by FROM version") == [(7,)]


def test_what_was_there_before_is_not_made_by_a_run_that_wrote_the_same(table: Table) -> None:
    table.see(replace(FILE, digest=b"A"))
    table.see(replace(FILE, digest=b"A", mtime_ns=200, ctime_ns=200), run=7)
    assert table.rows("SELECT made_by FROM version") == [(None,)]


def test_content_that_is_put_back_still_is_the_work_of_the_run_that_made_it(table: Table) -> None:
    table.see(replace(FILE, digest=b"A"), run=3)
    table.see(replace(FILE, digest=b"B", mtime_ns=200, ctime_ns=200), run=4)
    table.see(replace(FILE, digest=b"A", handle=b"ino2gen1", mtime_ns=300, ctime_ns=300))
    assert table.rows("SELECT made_by FROM version ORDER BY number") == [(3,), (4,), (3,)]


def test_a_model_version_stays_with_the_version_that_it_turned_out_to_be(table: Table) -> None:
    first = table.see(replace(FILE, digest=b"A"))
    second = table.see(replace(FILE, handle=b"ino2gen1", mtime_ns=200), run=7)
    table.write(lambda c: c.execute("INSERT INTO model VALUES ('m', ?, 'm', NULL, 0)", (PROJECT,)))
    table.write(
        lambda c: c.execute("INSERT INTO model_version VALUES ('m', 1, ?, x'41', 'stored', 1, 0, NULL)", (second,))
    )
    table.fill(second, b"A")
    assert table.rows("SELECT version FROM model_version") == [(first,)]
    assert table.rows("SELECT made_by FROM version") == [(7,)]


def test_an_inode_number_that_is_used_again_is_another_object(table: Table) -> None:
    table.see(replace(FILE, digest=b"A"))
    table.see(replace(FILE, path="models/n.pt", name=b"n.pt", handle=b"ino1gen2", digest=b"B"))
    assert table.rows("SELECT count(*) FROM object WHERE inode = 1") == [(2,)]
    assert resources(table) == ["models/m.pt", "models/n.pt"]


def test_a_renamed_file_keeps_its_resource(table: Table) -> None:
    first = table.see(replace(FILE, digest=b"A"))
    assert table.see(replace(FILE, path="models/best.pt", name=b"best.pt", ctime_ns=300)) != -1
    assert resources(table) == ["models/best.pt"]
    assert versions(table)[0] == (first, b"A")


def test_a_file_renamed_over_another_one_becomes_that_one(table: Table) -> None:
    table.see(replace(FILE, digest=b"A"))
    temporary = replace(FILE, path="models/m.tmp", name=b"m.tmp", handle=b"ino2gen1", inode=2, digest=b"B")
    table.see(temporary)
    table.see(replace(temporary, path="models/m.pt", name=b"m.pt"))
    bound = table.rows("SELECT r.path FROM binding b JOIN resource r ON r.id = b.resource WHERE b.valid_to IS NULL")
    assert bound == [("models/m.pt",)]


def test_a_second_link_is_a_second_resource(table: Table) -> None:
    table.see(replace(FILE, links=2))
    table.see(replace(FILE, path="models/link.pt", name=b"link.pt", links=2))
    assert resources(table) == ["models/link.pt", "models/m.pt"]
    assert table.rows("SELECT count(*) FROM object") == [(1,)]


def test_nothing_is_hashed_twice(table: Table) -> None:
    table.see(replace(FILE, digest=b"A", format="csv"))
    table.see(replace(FILE, path="models/link.pt", name=b"link.pt", links=2))
    assert [digest for _, digest in versions(table)] == [b"A", b"A"]


def test_a_run_that_tells_late_what_it_found_finds_the_version_of_then(table: Table) -> None:
    before = table.see(replace(FILE, digest=b"A"))
    after = table.see(replace(FILE, mtime_ns=200, ctime_ns=200, digest=b"B"))
    assert table.see(FILE) == before
    assert table.see(replace(FILE, mtime_ns=200, ctime_ns=200), run=7) == after
    assert len(versions(table)) == 2


def test_a_digest_that_comes_later_fills_its_version(table: Table) -> None:
    number = table.see(FILE)
    assert table.fill(number, b"A") == number
    assert versions(table) == [(number, b"A")]


def test_a_later_digest_that_shows_no_change_takes_the_version_away_and_moves_its_edges(table: Table) -> None:
    first = table.see(replace(FILE, digest=b"A"))
    second = table.see(replace(FILE, handle=b"ino2gen1", mtime_ns=200))
    table.write(lambda c: c.execute("INSERT INTO edge VALUES (3, ?, 1, 5), (3, ?, 4, 2)", (first, second)))
    assert table.fill(second, b"A") == first
    assert versions(table) == [(first, b"A")]
    assert table.rows("SELECT run, version, modes, first_use_ns FROM edge") == [(3, first, 5, 2)]


def test_a_version_of_an_older_program_gets_a_number(table: Table) -> None:
    table.see(replace(FILE, digest=b"A"))
    table.write(lambda c: c.execute("UPDATE version SET number = NULL"))
    assert table.see(replace(FILE, digest=b"A")) == 1


@pytest.mark.parametrize(
    ("first", "then", "is_"),
    [
        (("dataset", "assumed"), ("model", "observed"), "model"),
        (("dataset", "declared"), ("model", "observed"), "dataset"),
        (("model", "corrected"), ("dataset", "declared"), "model"),
    ],
)
def test_what_a_file_is_for_is_said_by_whoever_knows_best(
    table: Table, first: tuple[str, str], then: tuple[str, str], is_: str
) -> None:
    table.see(replace(FILE, role=first[0], role_by=first[1]))
    table.see(replace(FILE, role=then[0], role_by=then[1]))
    assert table.rows("SELECT role FROM resource") == [(is_,)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.sampled_from([b"A", b"B"])), max_size=25))
def test_versions_follow_content_whatever_happens_to_the_inodes(changes: list[tuple[str, int, bytes]]) -> None:
    """Against a model in plain Python: per path, the content each time that it changed."""
    with apsw.Connection(":memory:") as connection:
        for sql in _schema():
            connection.execute(sql)
        connection.execute("INSERT INTO project VALUES (?, 'p', '/p', 0, 'dev', 0, NULL)", (PROJECT,))
        history: dict[str, list[bytes]] = {}
        for at, (path, inode, digest) in enumerate(changes):
            handle = f"{path}{inode}".encode("ascii")  # each path has inodes of its own
            seen = replace(FILE, path=path, name=path.encode(), handle=handle, mtime_ns=at, ctime_ns=at, digest=digest)
            see(connection, seen, run=None, at=float(at))
            if history.setdefault(path, [])[-1:] != [digest]:
                history[path].append(digest)
        sql = "SELECT r.path, v.digest FROM version v JOIN resource r ON r.id = v.resource ORDER BY v.number"
        found: dict[str, list[bytes]] = {}
        for path, digest in connection.execute(sql):
            found.setdefault(str(path), []).append(bytes(digest))
        assert found == history
        [(open_,)] = connection.execute("SELECT count(*) FROM binding WHERE valid_to IS NULL")
        assert open_ == len(history)


def _schema() -> list[str]:
    from mlosd.store.schema import MIGRATIONS

    return [migration.sql() for migration in MIGRATIONS]
