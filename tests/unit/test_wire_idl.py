"""Interface definitions are read as Varlink defines them, and errors name the place."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlosd.core import data
from mlosd.wire import idl, types

FIELD_NAMES = st.from_regex(r"[A-Za-z](_?[A-Za-z0-9]){0,8}", fullmatch=True)
MEMBER_NAMES = st.from_regex(r"[A-Z][A-Za-z0-9]{0,8}", fullmatch=True)
SIMPLE: st.SearchStrategy[types.Type] = st.sampled_from(
    [types.Bool(), types.Int(), types.Float(), types.String(), types.Object(), types.Any()],
)
ENUMS: st.SearchStrategy[types.Type] = st.lists(FIELD_NAMES, min_size=1, max_size=4, unique=True).map(
    lambda names: types.Enum(tuple(names))
)


def structs(fields: st.SearchStrategy[types.Type]) -> st.SearchStrategy[types.Struct]:
    return st.dictionaries(FIELD_NAMES, fields, max_size=4).map(
        lambda named: types.Struct(tuple(types.Field(name, kind) for name, kind in named.items()))
    )


def larger(smaller: st.SearchStrategy[types.Type]) -> st.SearchStrategy[types.Type]:
    return st.one_of(
        smaller.map(types.Array),
        smaller.map(types.Map),
        smaller.filter(lambda kind: not isinstance(kind, types.Maybe)).map(types.Maybe),
        structs(smaller),
    )


TYPES: st.SearchStrategy[types.Type] = st.recursive(st.one_of(SIMPLE, ENUMS), larger, max_leaves=8)


def written(kind: types.Type) -> str:
    match kind:
        case types.Array(element):
            return f"[]{written(element)}"
        case types.Map(element):
            return f"[string]{written(element)}"
        case types.Maybe(element):
            return f"?{written(element)}"
        case types.Struct(fields):
            return "(" + ", ".join(f"{field.name}: {written(field.type)}" for field in fields) + ")"
        case types.Enum(values):
            return f"({', '.join(values)})"
        case types.Named(name):
            return name
    return type(kind).__name__.lower()


@settings(max_examples=50)
@given(MEMBER_NAMES, structs(TYPES), structs(TYPES))
def test_what_is_written_is_read(name: str, given_: types.Struct, returned: types.Struct) -> None:
    interface = idl.parse(
        f"interface org.example.Test\n# Does it.\nmethod {name}{written(given_)} -> {written(returned)}"
    )
    assert interface.methods == {name: types.Method(name, given_, returned, "Does it.")}


@given(st.text(alphabet="interfacmthodypr aB.?[]():->,#\n0_-", max_size=80))
def test_any_text_is_either_an_interface_or_refused(text: str) -> None:
    try:
        idl.parse(text)
    except idl.BadInterface as error:
        assert error.message.startswith("line ")


@pytest.mark.parametrize("path", sorted(data.path("interfaces").glob("*.varlink")), ids=lambda path: path.stem)
def test_every_shipped_interface_is_read_and_kept_to_the_byte(path: Path) -> None:
    interface = idl.read(path)
    assert interface.source == path.read_text("utf-8")
    assert interface.doc
    assert all(error.doc for error in interface.errors.values())


def test_the_comment_right_above_a_member_is_its_documentation() -> None:
    interface = idl.parse(
        "# About it.\ninterface a.b\n\n# Somewhere else.\n\n# One.\n# Two.\ntype T (x: int) # beside\ntype U (y)\n"
    )
    assert interface.doc == "About it."
    assert interface.types["T"].doc == "One.\nTwo."
    assert interface.types["U"].doc == ""


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "line 1, column 1: expected 'interface', got the end"),
        ("interface nodots", "line 1, column 11: expected a reversed domain name"),
        ("interface a.b\nmethod lower() -> ()", "line 2, column 8: expected the name of the method"),
        ("interface a.b\nmethod M(x: int) -> (y: Nowhere)", "line 2, column 25: there is no type Nowhere"),
        ("interface a.b\nmethod M(x: int)", "line 2, column 17: expected '->', got the end"),
        ("interface a.b\nmethod M(x, y) -> ()", "line 2, column 9: expected fields with types"),
        ("interface a.b\ntype T (x: ??int)", "line 2, column 13: a maybe of a maybe"),
        ("interface a.b\ntype T (x: int, x: int)", "line 2, column 17: the field x is declared twice"),
        ("interface a.b\ntype T (x, x)", "line 2, column 12: the value x is listed twice"),
        ("interface a.b\ntype T ()\nerror T ()", "line 3, column 1: T is declared twice"),
        ("interface a.b\ntype T (x: int,)", "line 2, column 16: expected a name, got ')'"),
        ("interface a.b\n\n  %", "line 3, column 3: unexpected character '%'"),
        ("interface a.b type T " + "(a:" * 40, "types are nested deeper than 32"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_column(source: str, complaint: str) -> None:
    with pytest.raises(idl.BadInterface) as caught:
        idl.parse(source)
    assert complaint in caught.value.message


def test_a_file_must_be_named_after_its_interface(tmp_path: Path) -> None:
    path = tmp_path / "wrong.varlink"
    path.write_text("interface a.b\n")
    with pytest.raises(idl.BadInterface, match=r"describes a\.b"):
        idl.read(path)
