"""A value is held against its type, and the error leads to what is wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.core import data
from mlosd.wire import idl
from mlosd.wire.check import Check, Checks, WrongValue

EXAMPLE = idl.parse(
    """interface org.example.Test
type Colour (red, green)
type Tree (value: int, children: []Tree)
method M(
  flag: ?bool, count: ?int, share: ?float, name: ?string, thing: ?object, whatever: ?any,
  colour: ?Colour, words: ?[]string, map: ?[string]string, deep: ?[string][]Colour, tree: ?Tree, empty: ?()
) -> ()
method Need(a: int, b: int) -> ()
error E (why: string)
"""
)
CHECK = Checks(EXAMPLE).inputs["M"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def complaint(check: Check, value: object) -> str:
    with pytest.raises(WrongValue) as caught:
        check(value)
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"flag": None, "tree": None},
        {"flag": True, "count": -(2**63), "share": 1, "name": "", "thing": {"x": [None]}, "whatever": 0},
        {"share": 0.5, "colour": "red", "words": [], "map": {}, "deep": {"x": ["red", "green"]}, "empty": {}},
        {"words": ["a"], "map": {"k": "v"}, "tree": {"value": 1, "children": [{"value": 2, "children": []}]}},
    ],
)
def test_what_fits_is_let_through(value: object) -> None:
    CHECK(value)


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ([], "expected object, got array"),
        ({"colour": 1, "nonsense": 1}, "colour: expected string, got int"),
        ({"nonsense": None}, "nonsense: unknown field"),
        ({"flag": 1}, "flag: expected bool, got int"),
        ({"count": True}, "count: expected int, got bool"),
        ({"count": 1.0}, "count: expected int, got float"),
        ({"count": 2**63}, "count: an int has 64 bits"),
        ({"share": True}, "share: expected float, got bool"),
        ({"share": float("nan")}, "share: a float must be finite"),
        ({"share": float("inf")}, "share: a float must be finite"),
        ({"name": 1}, "name: expected string, got int"),
        ({"thing": []}, "thing: expected object, got array"),
        ({"colour": "blue"}, "colour: expected one of red, green"),
        ({"words": "abc"}, "words: expected array, got string"),
        ({"words": ["a", None]}, "words[1]: expected string, got null"),
        ({"map": {"a": "b", "c": 3}}, "map['c']: expected string, got int"),
        ({"map": {1: "b"}}, "map[1]: expected string, got int"),
        ({"deep": {"x": ["red", "blue"]}}, "deep['x'][1]: expected one of red, green"),
        ({"tree": {"value": 1}}, "tree.children: missing"),
        ({"tree": {"value": 1, "children": [{"value": "x"}]}}, "tree.children[0].value: expected int, got string"),
        ({"empty": {"x": 1}}, "empty.x: unknown field"),
    ],
)
def test_what_does_not_fit_is_named_with_the_way_to_it(value: object, wrong: str) -> None:
    assert complaint(CHECK, value) == wrong


def test_null_is_not_a_value_of_a_field_that_is_needed() -> None:
    need = Checks(EXAMPLE).inputs["Need"]
    assert complaint(need, {"a": 1, "b": None}) == "b: expected int, got null"
    assert complaint(need, {"b": 1}) == "a: missing"


def test_errors_have_checks_too() -> None:
    Checks(EXAMPLE).errors["E"]({"why": "so"})


@given(JSON)
def test_no_value_makes_a_check_fail_in_another_way(value: Any) -> None:
    for interface in INTERFACES:
        for check in interface.inputs.values():
            try:
                check(value)
            except WrongValue as error:
                assert str(error)


@given(st.dictionaries(st.sampled_from([f.name for f in EXAMPLE.methods["M"].input.fields]), JSON))
def test_no_value_of_a_known_field_does_either(value: dict[str, Any]) -> None:
    try:
        CHECK(value)
    except WrongValue as error:
        assert error.path.startswith(tuple(value))


INTERFACES = [Checks(idl.read(path)) for path in sorted(data.path("interfaces").glob("io.*.varlink"))]
