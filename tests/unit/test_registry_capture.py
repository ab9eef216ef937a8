"""What jobs write becomes versions: whole, under its final name, once, and never at the job's cost."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.registry import Shop, model

from mlosd.registry.keep import TOO_LARGE
from mlosd.registry.retention import beyond
from mlosd.store.models import ModelVersionRow


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path)
    yield opened
    opened.close()


def names(shop: Shop) -> list[str]:
    return [row.name for row in shop.models.all()]


def test_each_save_in_place_is_a_version_and_the_one_before_stays_byte_for_byte(shop: Shop) -> None:
    for text in ("one", "two", "three"):
        shop.save("net.pt", model(text))
    assert shop.numbers("net") == [(1, model("one")), (2, model("two")), (3, model("three"))]


def test_the_same_content_again_is_no_new_version(shop: Shop) -> None:
    shop.save("net.pt", model("one"))
    shop.save("net.pt", model("one"), run=2)
    assert shop.numbers("net") == [(1, model("one"))]


def test_a_save_that_is_renamed_into_place_is_a_version_of_the_same_model(shop: Shop) -> None:
    shop.save("net.pt", model("one"))

    async def job() -> None:
        shop.write("net.pt.tmp", model("two"))
        shop.closed("net.pt.tmp", run=2)
        key = next(iter(shop.capture._files))
        (shop.root / "net.pt.tmp").rename(shop.root / "net.pt")
        shop.capture.renamed(key, os.fsencode(shop.root / "net.pt"))
        await shop.capture.settle(2)

    shop.run(job())
    assert names(shop) == ["net"]
    assert shop.numbers("net") == [(1, model("one")), (2, model("two"))]


def test_a_name_that_came_after_the_capture_is_that_of_the_version(shop: Shop) -> None:
    shop.save("net.pt", model("one"))

    async def job() -> None:
        shop.write("fresh.pt", model("two"))
        shop.closed("fresh.pt", run=2)
        key = next(iter(shop.capture._files))
        await shop.capture._until_quiet(2)
        (shop.root / "fresh.pt").rename(shop.root / "net.pt")
        shop.capture.renamed(key, os.fsencode(shop.root / "net.pt"))
        await shop.capture.settle(2)

    shop.run(job())
    assert shop.numbers("net") == [(1, model("one")), (2, model("two"))]
    assert shop.reader.read_files == 2


@pytest.mark.parametrize("name", ["net.pt.tmp", "net.pt.part", "net.pt~", ".net.pt.Xk29dQ"])
def test_a_file_that_is_left_under_a_temporary_name_is_no_version(shop: Shop, name: str) -> None:
    shop.save(name, model("one"))
    assert names(shop) == []


def test_a_file_that_was_unlinked_is_no_version(shop: Shop) -> None:
    async def job() -> None:
        path = shop.write("net.pt", model("one"))
        shop.closed("net.pt")
        path.unlink()
        await shop.capture.settle(1)

    shop.run(job())
    assert names(shop) == []


@pytest.mark.parametrize(
    "content", [b"DATA 1,2,3,4,5,6,7,8,9", b"nothing that anybody knows", b"MODEL cut off by k", b""]
)
def test_what_is_no_whole_model_is_no_version(shop: Shop, content: bytes) -> None:
    shop.save("file.pt", content)
    assert names(shop) == []
    assert list(shop.blobs.all()) == []


def test_a_file_that_is_still_open_for_writing_waits_for_its_last_close(shop: Shop) -> None:
    async def job() -> None:
        with shop.write("net.pt", model("one")).open("r+b"):
            shop.closed("net.pt")
            await shop.capture._until_quiet(1)
            assert names(shop) == []
        await shop.capture.settle(1)

    shop.run(job())
    assert shop.numbers("net") == [(1, model("one"))]


def test_a_file_that_somebody_holds_open_for_writing_after_the_job_is_said_not_to_be_kept(shop: Shop) -> None:
    path = shop.write("net.pt", model("one"))
    with path.open("r+b"):
        shop.save("net.pt", model("one"))
    assert names(shop) == []
    assert any("not kept" in text for text in shop.said())


def test_a_file_that_changes_while_it_is_copied_is_kept_as_its_next_close_left_it(shop: Shop) -> None:
    def write_again() -> None:
        shop.reader.meanwhile = lambda: None
        shop.write("net.pt", model("two"))
        shop.closed("net.pt")

    shop.reader.meanwhile = write_again
    shop.save("net.pt", model("one"))
    assert shop.numbers("net") == [(1, model("two"))]


def test_without_room_the_version_says_so_and_the_next_one_is_kept(shop: Shop) -> None:
    shop.reader.is_full = True
    shop.save("net.pt", model("one"))
    shop.reader.is_full = False
    shop.save("net.pt", model("two"))
    row = shop.models.versions(shop.models.all()[0].id)[-1]
    assert (row.captured, row.stored) == ("not captured (no space)", 0)
    assert shop.numbers("net") == [(1, b""), (2, model("two"))]


def test_a_model_larger_than_what_is_read_at_all_is_said_not_to_be_kept(shop: Shop) -> None:
    async def job() -> None:
        path = shop.write("net.pt", model("one"))
        os.truncate(path, (1 << 40) + 1)  # sparse: it takes no room, and hours to read
        shop.closed("net.pt")
        await shop.capture.settle(1)

    shop.reader.identify = shop.reader.claim_model  # type: ignore[method-assign]
    shop.run(job())
    assert shop.said() == [f"model {shop.root}/net.pt: not kept: the file could not be read: {TOO_LARGE}"]
    assert shop.reader.read_files == 0


def test_two_models_with_the_same_content_share_their_bytes(shop: Shop) -> None:
    shop.save("a.pt", model("one"))
    shop.save("b.pt", model("one"))
    assert names(shop) == ["a", "b"]
    assert len(list(shop.blobs.all())) == 1


def test_models_in_files_of_the_same_name_are_told_apart(shop: Shop) -> None:
    shop.save("x/net.pt", model("one"))
    shop.save("y/net.pt", model("two"))
    assert names(shop) == ["net", "net-2"]


def test_what_the_user_said_of_a_file_counts_more_than_its_content(shop: Shop) -> None:
    shop.save("net.pt", model("one"))

    async def correct() -> None:
        await shop.database.write(lambda c: c.execute("UPDATE resource SET role = 'dataset', role_by = 'corrected'"))

    shop.run(correct())
    shop.save("net.pt", model("two"))
    assert shop.numbers("net") == [(1, model("one"))]


def test_stored_bytes_are_nobodys_to_write_and_no_link_to_the_users_file(shop: Shop) -> None:
    shop.save("net.pt", model("one"))
    [digest] = shop.blobs.all()
    status = shop.blobs.path(digest).stat()
    assert (status.st_mode & 0o777, status.st_nlink) == (0o400, 1)
    assert (shop.directory / "lib" / "models").stat().st_mode & 0o777 == 0o700


def test_files_beyond_the_bound_of_open_ones_are_opened_again_in_their_turn(tmp_path: Path) -> None:
    shop = Shop(tmp_path, most_open=2)

    async def job() -> None:
        for number in range(20):
            shop.write(f"net{number}.pt", model(str(number)))
            shop.closed(f"net{number}.pt")
            assert sum(written.fd is not None for written in shop.capture._files.values()) <= 2 + 4
        await shop.capture.settle(1)

    shop.run(job())
    assert len(names(shop)) == 20
    assert not shop.capture._files
    shop.close()


def test_a_file_without_room_for_any_model_is_not_even_opened(shop: Shop) -> None:
    async def job() -> None:
        shop.write("done", b"ok\n")
        shop.closed("done")
        assert not shop.capture._files

    shop.run(job())


def test_a_run_whose_file_another_run_wrote_over_has_nothing_to_wait_for(shop: Shop) -> None:
    async def jobs() -> None:
        shop.write("net.pt", model("one"))
        shop.closed("net.pt", run=1)
        shop.closed("net.pt", run=2)
        async with asyncio.timeout(10):
            await shop.capture.settle(1)
            await shop.capture.settle(2)

    shop.run(jobs())
    assert shop.numbers("net") == [(1, model("one"))]


def test_nothing_stays_open_when_the_job_is_over(shop: Shop) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("a.pt", "b.tmp", "c.csv"):
        shop.save(name, model(name))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def version(number: int, stored: int = 1) -> ModelVersionRow:
    return ModelVersionRow("m", number, number, bytes([number]), "stored", stored, 0.0, None, 1, None, None, None)


@pytest.mark.parametrize(
    ("numbers", "needed", "keep", "going"),
    [
        ([5, 4, 3, 2, 1], set(), 2, [3, 2, 1]),
        ([5, 4, 3, 2, 1], {1, 3}, 2, [2]),
        ([5, 4, 3], set(), 0, []),
        ([5, 4, 3], set(), 10, []),
        ([], set(), 2, []),
    ],
)
def test_the_newest_stay_and_those_that_are_needed(
    numbers: list[int], needed: set[int], keep: int, going: list[int]
) -> None:
    assert [one.number for one in beyond([version(n) for n in numbers], needed, keep=keep)] == going


def test_older_versions_go_by_themselves_but_not_those_of_an_alias(tmp_path: Path) -> None:
    shop = Shop(tmp_path, keep=2)
    shop.save("net.pt", model("1"))
    shop.alias("net", "production", 1)
    for text in "2345":
        shop.save("net.pt", model(text))
    assert shop.numbers("net") == [(1, model("1")), (2, b""), (3, b""), (4, model("4")), (5, model("5"))]
    assert len(list(shop.blobs.all())) == 3
    row = next(one for one in shop.models.versions(shop.models.all()[0].id) if one.number == 2)
    assert row.captured == "pruned"
    assert row.pruned_at is not None
    shop.close()
