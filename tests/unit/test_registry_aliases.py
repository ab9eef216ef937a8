"""What an alias meant at any time, against the plainest model of it; and what may not be removed because of one."""

import hashlib
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.registry import PROJECT, Shop, model

from mlosd.core.errors import BadRequest, NotFound, Refused
from mlosd.registry import aliases
from mlosd.registry.service import Actor
from mlosd.store.models import STORED, AliasRow, Kept
from mlosd.store.projects import ProjectRow, Projects
from mlosd.store.versions import Seen

NAMES = st.sampled_from(["production", "staging", "b"])
MOVES = st.lists(
    st.tuples(NAMES, st.one_of(st.none(), st.integers(1, 4)), st.floats(-5.0, 5.0)), min_size=1, max_size=25
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path)
    for text in ("one", "two", "three"):
        opened.save("net.pt", model(text))
    yield opened
    opened.close()


def mine(owner: int) -> bool:
    return True


def test_history_at_any_time_is_what_was_said_last_before_it(shop: Shop) -> None:
    models = count()

    @given(moves=MOVES, at=st.floats(0.0, 100.0))
    @settings(max_examples=40, deadline=None)
    def property_(moves: list[tuple[str, int | None, float]], at: float) -> None:
        name = f"net{next(models)}"

        def add(connection: apsw.Connection) -> None:
            connection.execute("INSERT INTO model VALUES (?1, ?2, ?1, NULL, 0)", (name, PROJECT))
            for number in range(1, 5):
                connection.execute(
                    "INSERT INTO model_version (model, number, version, digest, captured, added_at)"
                    " VALUES (?, ?, 1, x'00', '', 0)",
                    (name, number),
                )

        async def write() -> None:
            await shop.database.write(add)

        shop.run(write())
        _compare(shop, name, moves, at)

    property_()


def _compare(shop: Shop, name: str, moves: list[tuple[str, int | None, float]], at: float) -> None:
    clock, latest, meant, at_time = 50.0, 0.0, dict[str, int](), dict[str, int]()

    async def move(alias: str, number: int | None, now: float) -> None:
        await shop.models.move(name, alias, number, actor=7, reason="r", at=now)

    for alias, number, step in moves:
        clock += step
        shop.run(move(alias, number, clock))
        # A clock that goes back does not undo what came before.
        latest = max(latest, clock)
        meant = {other: n for other, n in meant.items() if other != alias} | ({alias: number} if number else {})
        if latest <= at:
            at_time = dict(meant)
    log = shop.models.log(name)
    assert len(log) == len(moves)
    assert {one: said.number for one, said in aliases.meaning(log).items()} == meant
    assert {one: said.number for one, said in aliases.meaning(log, at).items()} == at_time
    said = {change["alias"]: change["number"] for change in shop.service.meant_at(name, mine, at)}
    assert said == at_time
    needed = aliases.needed(log)
    assert set(meant.values()) <= needed.keys()


def rows(*numbers: int | None) -> list[AliasRow]:
    return [AliasRow("production", number, 0, "", float(at)) for at, number in enumerate(numbers)]


@pytest.mark.parametrize(
    ("numbers", "before", "needed"),
    [
        ([], None, set()),
        ([1], None, {1}),
        ([1, 2], 1, {1, 2}),
        ([1, 2, 2], 1, {1, 2}),
        ([1, 2, 3], 2, {2, 3}),
        ([1, 2, None], 2, {2}),
        ([1, None, 2], 1, {1, 2}),
        ([None], None, set()),
    ],
)
def test_what_an_alias_meant_before_is_needed_as_well(
    numbers: list[int | None], before: int | None, needed: set[int]
) -> None:
    assert aliases.before(rows(*numbers), "production") == before
    assert aliases.needed(rows(*numbers)).keys() == needed


def test_a_move_is_remembered_with_who_and_why(shop: Shop) -> None:
    change = shop.run(shop.service.alias("net", "production", 2, mine, Actor(1234, "better on October")))
    assert (change["alias"], change["number"], change["actor"]) == ("production", 2, "1234")
    shop.reopen()
    [told] = shop.service.history("net", mine)
    assert told == change
    assert told["reason"] == "better on October"


def test_an_alias_that_was_taken_away_means_nothing_and_its_history_stays(shop: Shop) -> None:
    shop.alias("net", "production", 1)
    shop.alias("net", "production", None)
    assert shop.service.show("net", mine)[0]["aliases"] == {}
    assert [change["number"] for change in shop.service.history("net", mine)] == [None, 1]
    with pytest.raises(NotFound, match="has no alias production"):
        shop.alias("net", "production", None)


@pytest.mark.parametrize(("alias", "number", "error"), [("x", 9, NotFound), ("9", 1, BadRequest)])
def test_nonsense_moves_nothing(shop: Shop, alias: str, number: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        shop.alias("net", alias, number)
    assert shop.service.history("net", mine) == []


def test_a_rollback_makes_no_alias_of_a_name_that_none_may_have(shop: Shop) -> None:
    for name in ("../x", "a\nb", "", "9"):
        with pytest.raises(BadRequest, match="an alias cannot be called"):
            shop.roll_back("net", alias=name, number=1)
    assert shop.service.history("net", mine) == []


def test_an_alias_that_came_with_an_import_moves_under_the_name_that_it_has(shop: Shop) -> None:
    id_ = shop.service.find("net", mine).id

    async def imported() -> None:
        await shop.models.move(id_, "Champion 1", 1, actor=0, reason="", at=1.0)

    shop.run(imported())
    shop.alias("net", "Champion 1", 2)
    shop.alias("net", "Champion 1", None)
    with pytest.raises(BadRequest):
        shop.alias("net", "Champion 2", 2)


def test_who_removes_bytes_does_not_learn_whether_another_user_has_them_too(shop: Shop) -> None:
    kept = Kept(hashlib.sha256(model("one")).digest(), STORED, len(model("one")))
    texts = {"project": "other", "path": "x", "role": "model", "role_by": "observed", "filesystem": "x"}
    numbers = dict.fromkeys(("handle_type", "parent_type", "inode", "size", "mtime_ns", "ctime_ns"), 0)
    seen: dict[str, Any] = texts | numbers | dict.fromkeys(("handle", "parent", "name"), b"x")

    async def somebody_else_has_it_too() -> None:
        projects = Projects(shop.database)
        await projects.add(ProjectRow("other", "other", "/other", os.getuid() + 1, "dev", 0.0), [])
        await shop.models.keep(Seen(**seen), kept, name="net", run=None, at=1.0)

    shop.run(somebody_else_has_it_too())
    assert shop.run(shop.service.remove("shop/net", 1, lambda uid: uid == os.getuid())) == len(model("one"))
    assert shop.blobs.has(kept.digest)


def test_a_version_that_an_alias_needs_cannot_be_removed(shop: Shop) -> None:
    shop.alias("net", "production", 1)
    shop.alias("net", "production", 2)
    for number, why in ((1, "production needs"), (2, "production needs"), (3, "the latest")):
        with pytest.raises(Refused, match=why):
            shop.run(shop.service.remove("net", number, mine))
    shop.alias("net", "production", 3)
    assert shop.run(shop.service.remove("net", 1, mine)) == len(model("one"))
    assert shop.numbers("net") == [(1, b""), (2, model("two")), (3, model("three"))]


def test_a_model_of_another_is_not_there(shop: Shop) -> None:
    with pytest.raises(NotFound, match="there is no model 'net' of yours") as foreign:
        shop.service.find("net", lambda owner: False)
    with pytest.raises(NotFound) as missing:
        shop.service.find("nothing", lambda owner: False)
    assert foreign.value.message.replace("net", "nothing") == missing.value.message
    assert shop.service.listed(lambda owner: False, project=None) == []


def test_a_name_that_two_models_have_needs_its_project(shop: Shop) -> None:
    assert shop.service.find("shop/net", mine).name == "net"
    with pytest.raises(NotFound):
        shop.service.find("other/net", mine)


def test_staleness_counts_inputs_that_are_others_by_now(shop: Shop) -> None:
    shop.inputs = lambda version: [(1, True, 100.0), (2, False, 200.0)]
    _, [version, *_] = shop.service.show("net", mine)
    assert (version["inputs"], version["inputs_changed"]) == (2, 1)
    assert version["age"] > 1e9
