"""Tables: aligned, cut to the terminal, and harmless whatever the cells contain."""

from hypothesis import given
from hypothesis import strategies as st

from mlosd.cli import paint, table
from mlosd.cli.table import Column

COLUMNS = [Column("ID", align=">"), Column("NAME", cut=True), Column("COMMAND", cut=True)]


def test_columns_are_aligned_and_lines_end_with_text() -> None:
    assert table.lines(COLUMNS, [("7", "a", "true"), ("123", "bb", "false x")]) == [
        " ID  NAME  COMMAND",
        "  7  a     true",
        "123  bb    false x",
    ]


def test_a_narrow_terminal_cuts_the_last_column_first() -> None:
    rows = [("7", "short name", "python train.py --with --many --options")]
    assert table.lines(COLUMNS, rows, width=40)[1] == " 7  short name  python train.py --with \u2026"


def test_wide_characters_take_two_cells() -> None:
    columns = [Column("NAME"), Column("X")]
    assert table.lines(columns, [("\u8a13\u7df4", "1"), ("abcd", "2")])[1:] == ["\u8a13\u7df4  1", "abcd  2"]


def test_control_characters_are_spelled_out() -> None:
    assert table.lines([Column("NAME")], [("\x1b[2Jgone",)])[1] == "\\x1b[2Jgone"


def test_colours_do_not_shift_columns() -> None:
    columns = [Column("STATE", colour=lambda _: paint.RED), Column("X")]
    assert table.lines(columns, [("ok", "1")], colours=True)[1] == "\x1b[31mok\x1b[0m     1"


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=5), st.integers(45, 120))
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, str, str]], width: int) -> None:
    columns = [Column("ID", cut=True), Column("NAME", cut=True), Column("COMMAND", cut=True)]
    for line in table.lines(columns, rows, width=width):
        assert table.cells(line) <= width
        assert line.isprintable()


@given(st.text())
def test_visible_text_is_printable_and_encodes(text: str) -> None:
    shown = paint.visible(text)
    assert shown.isprintable()
    shown.encode()
