"""An earlier version goes back into its place: in one step, with its alias, and whole after any crash."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.registry import Shop, model

from mlosd.core.errors import BadRequest, Refused
from mlosd.kernel.renameat2 import renameat2
from mlosd.registry import place
from mlosd.registry.blobs import Blobs
from mlosd.registry.intents import Intents
from mlosd.registry.place import Place
from mlosd.store.models import Models


class Crash(BaseException):
    """The end of the daemon in this moment: nothing that comes after it is done."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path)
    for text in ("one", "two", "three"):
        opened.save("net.pt", model(text))
    yield opened
    opened.close()


def live(shop: Shop) -> bytes:
    return (shop.root / "net.pt").read_bytes()


def production(shop: Shop) -> int | None:
    number: int | None = shop.service.show("net", lambda owner: True)[0]["aliases"].get("production")
    return number


def leftovers(shop: Shop) -> list[str]:
    inside = [path.name for path in shop.root.iterdir() if path.name != "net.pt"]
    return inside + [path.name for path in (shop.directory / "lib" / "models").iterdir() if len(path.name) != 2]


def test_the_one_before_comes_back_with_its_alias_and_goes_again(shop: Shop) -> None:
    shop.alias("net", "production", 2)
    shop.alias("net", "production", 3)
    shop.roll_back("net", alias="production")
    assert (live(shop), production(shop)) == (model("two"), 2)
    shop.roll_back("net", alias="production")
    assert (live(shop), production(shop)) == (model("three"), 3)
    assert [number for number, _ in shop.numbers("net")] == [1, 2, 3]
    assert leftovers(shop) == []


def test_without_an_alias_the_version_below_the_one_in_place_comes_back(shop: Shop) -> None:
    for text in ("two", "one"):
        shop.roll_back("net")
        assert live(shop) == model(text)
    with pytest.raises(Refused, match="no earlier version"):
        shop.roll_back("net")
    assert shop.service.history("net", lambda owner: True) == []


def test_the_alias_that_means_what_is_in_place_goes_with_it(shop: Shop) -> None:
    shop.alias("net", "production", 3)
    shop.roll_back("net", number=1)
    assert (live(shop), production(shop)) == (model("one"), 1)
    shop.alias("net", "staging", 1)
    with pytest.raises(BadRequest, match="production and staging both mean"):
        shop.roll_back("net", number=2)


def test_what_nobody_had_kept_is_kept_before_it_is_replaced(shop: Shop) -> None:
    shop.write("net.pt", b"edited by hand, and no model any more")
    shop.roll_back("net", number=1)
    assert live(shop) == model("one")
    assert shop.numbers("net")[-1] == (4, b"edited by hand, and no model any more")


def test_a_model_whose_file_is_gone_comes_back_as_it_was_last(shop: Shop) -> None:
    (shop.root / "net.pt").unlink()
    shop.roll_back("net")
    assert live(shop) == model("three")


def test_owner_and_mode_are_those_of_the_file_that_was_replaced(shop: Shop) -> None:
    (shop.root / "net.pt").chmod(0o640)
    kept = []
    with suppress(OSError):  # a file system without attributes
        os.setxattr(shop.root / "net.pt", "user.note", b"hello")
        kept = ["user.note"]
    shop.roll_back("net", number=1)
    status = (shop.root / "net.pt").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_nlink) == (0o640, os.getuid(), 1)
    assert [name for name in os.listxattr(shop.root / "net.pt") if name.startswith("user.")] == kept


def test_damaged_bytes_do_not_come_back(shop: Shop) -> None:
    row = shop.models.all()[0]
    damaged = shop.blobs.path(shop.models.versions(row.id)[-1].digest)
    damaged.chmod(0o600)
    damaged.write_bytes(model("0ne"))
    with pytest.raises(Refused, match="stored bytes of version 1 are damaged"):
        shop.roll_back("net", number=1)
    assert live(shop) == model("three")
    damaged.unlink()
    with pytest.raises(Refused, match="missing"):
        shop.roll_back("net", number=1)
    assert live(shop) == model("three")
    assert leftovers(shop) == []
    shop.reopen()
    assert any("shop/net:1" in text for text in shop.said())


def test_a_file_that_is_being_written_is_left_alone(shop: Shop) -> None:
    with (shop.root / "net.pt").open("r+b"), pytest.raises(Refused, match="being written"):
        shop.roll_back("net", number=1)
    assert live(shop) == model("three")


def test_a_write_between_the_look_and_the_exchange_is_not_lost(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    swap = Place.swap

    def late(self: Place, fresh: str) -> None:
        shop.write("net.pt", model("late"))
        swap(self, fresh)

    monkeypatch.setattr(Place, "swap", late)
    with pytest.raises(Refused, match="written meanwhile"):
        shop.roll_back("net", number=1)
    assert live(shop) == model("late")
    assert leftovers(shop) == []


def test_a_stranger_under_the_fresh_name_does_not_cost_the_live_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap = Place.swap

    def after_a_stranger_came(self: Place, fresh: str) -> None:
        (shop.root / fresh).unlink()
        (shop.root / fresh).symlink_to("/etc/hostname")
        swap(self, fresh)

    monkeypatch.setattr(Place, "swap", after_a_stranger_came)
    with pytest.raises(Refused, match="replaced meanwhile"):
        shop.roll_back("net", number=1)
    [beside] = leftovers(shop)
    assert (shop.root / beside).read_bytes() == model("three")


def test_a_place_behind_a_link_is_refused(shop: Shop) -> None:
    elsewhere = shop.root.with_name("elsewhere")
    shop.root.rename(elsewhere)
    shop.root.symlink_to(elsewhere)
    with pytest.raises(Refused):
        shop.roll_back("net", number=1)
    assert (elsewhere / "net.pt").read_bytes() == model("three")
    shop.root.unlink()
    elsewhere.rename(shop.root)
    (shop.root / "net.pt").unlink()
    (shop.root / "net.pt").symlink_to("/etc/hostname")
    with pytest.raises(Refused):
        shop.roll_back("net", number=1)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a file away")
@pytest.mark.parametrize("given", [".", "net.pt"])
def test_what_belongs_to_somebody_else_by_now_is_refused(shop: Shop, given: str) -> None:
    os.chown(shop.root / given, 12345, 12345)
    with pytest.raises(Refused, match=r"somebody else|no file of"):
        shop.roll_back("net", number=1)
    assert live(shop) == model("three")
    assert leftovers(shop) == []


def test_where_names_cannot_change_places_the_step_is_a_rename(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here(*names: Any, flags: int = 0, **directories: Any) -> None:
        if flags:
            raise OSError(errno.EINVAL, "not on this file system")
        renameat2(*names, **directories)

    monkeypatch.setattr(place, "renameat2", none_here)
    shop.roll_back("net", number=1)
    assert live(shop) == model("one")
    assert leftovers(shop) == []


def test_without_a_row_the_file_goes_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise Refused("the disk is full")

    shop.alias("net", "production", 3)
    monkeypatch.setattr(Models, "put_back", refuse)
    with pytest.raises(Refused, match="the disk is full"):
        shop.roll_back("net", number=1)
    assert (live(shop), production(shop)) == (model("three"), 3)
    assert leftovers(shop) == []


def dies_before(function: Callable[..., Any]) -> Callable[..., Any]:
    def dying(*_: Any, **__: Any) -> Any:
        raise Crash

    return dying


def dies_after(function: Callable[..., Any]) -> Callable[..., Any]:
    def dying(*given: Any, **named: Any) -> Any:
        function(*given, **named)
        raise Crash

    return dying


def dies_when_it_is_written(function: Callable[..., Any]) -> Callable[..., Any]:
    async def dying(*given: Any, **named: Any) -> Any:
        await function(*given, **named)
        raise Crash

    return dying


STEPS = [
    (Intents, "write", dies_after),
    (Blobs, "read", dies_before),
    (place, "dress", dies_after),
    (Place, "swap", dies_before),
    (Place, "swap", dies_after),
    (Models, "put_back", dies_before),
    (Models, "put_back", dies_when_it_is_written),
    (Place, "put_right", dies_before),
    (Place, "put_right", dies_after),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[2].__name__}_{step[1]}")
@pytest.mark.parametrize("is_there", [True, False], ids=["live", "gone"])
def test_a_crash_at_any_step_leaves_one_version_whole_and_the_alias_with_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str, Any], is_there: bool
) -> None:
    owner, name, how = step
    shop.alias("net", "production", 3)
    if not is_there:
        (shop.root / "net.pt").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, how(getattr(owner, name)))
        with pytest.raises(Crash):
            shop.roll_back("net", alias="production", number=1)
    shop.reopen()
    before = (model("three") if is_there else None, 3)
    now = (live(shop) if (shop.root / "net.pt").exists() else None, production(shop))
    assert now in (before, (model("one"), 1))
    assert leftovers(shop) == []
    assert shop.run(shop.service.collect())["removed"] == []
    assert shop.numbers("net") == [(1, model("one")), (2, model("two")), (3, model("three"))]


CAPTURE_STEPS = [
    (Blobs, "settle", dies_before),
    (Blobs, "settle", dies_after),
    (Models, "keep", dies_before),
    (Models, "keep", dies_when_it_is_written),
]


@pytest.mark.parametrize(("owner", "name", "how"), CAPTURE_STEPS, ids=lambda one: getattr(one, "__name__", one))
def test_a_crash_while_a_version_is_kept_leaves_a_whole_one_or_none(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, how: Any
) -> None:
    path = shop.write("net.pt", model("four"))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, how(getattr(owner, name)))
        with pytest.raises(Crash):
            shop.run(shop.service.register(path, name=None, project=None, uid=os.getuid(), operator=False))
    shop.reopen()
    shop.run(shop.service.collect())
    numbers = shop.numbers("net")
    assert numbers[:3] == [(1, model("one")), (2, model("two")), (3, model("three"))]
    assert numbers[3:] in ([], [(4, model("four"))])
    assert len(list(shop.blobs.all())) == len(numbers)
    assert leftovers(shop) == []


def test_bytes_of_no_version_are_collected_and_only_said_before(shop: Shop) -> None:
    orphan = shop.blobs.path(bytes(32))
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"nobody's")
    assert shop.service.surplus()["removed"] == ["000000000000 (of no version)"]
    assert orphan.exists()
    assert shop.run(shop.service.collect())["bytes"] == 8
    assert not orphan.exists()
    assert shop.service.surplus() == {"removed": [], "bytes": 0, "kept": 3, "missing": []}
