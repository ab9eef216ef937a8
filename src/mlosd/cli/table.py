"""Aligned columns of text, cut to the terminal's width when there is one."""

from collections.abc import Callable, Iterable, Sequence

from mlosd.cli import paint

GAP = "  "
NARROWEST = 12


class Column:
    """A column: its title, where its text stands, whether it may be cut, and what colours its cells."""

    __slots__ = ("align", "colour", "cut", "title")

    def __init__(
        self, title: str, *, align: str = "<", cut: bool = False, colour: Callable[[str], str | None] | None = None
    ) -> None:
        self.title, self.align, self.cut, self.colour = title, align, cut, colour


def lines(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, width: int | None = None, colours: bool = False
) -> list[str]:
    """The table, title first. `width`: of the terminal; columns that may be cut give way, the last one first."""
    body = [[paint.visible(cell) for cell in row] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(map(cells, column)) for column in zip(titles, *body, strict=True)]
    if width is not None:
        _fit(widths, columns, width)
    head = _line(titles, columns, widths)
    return [paint.painted(head, paint.BOLD if colours else None)] + [
        _line(row, columns, widths, colours=colours) for row in body
    ]


def cells(text: str) -> int:
    """How many terminal cells `text` takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, with an ellipsis where it was longer."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return text + "\u2026"


def _fit(widths: list[int], columns: Sequence[Column], width: int) -> None:
    over = sum(widths) + len(GAP) * (len(widths) - 1) - width
    for index in reversed([i for i, column in enumerate(columns) if column.cut]):
        less = max(0, min(over, widths[index] - NARROWEST))
        widths[index] -= less
        over -= less


def _line(row: Sequence[str], columns: Sequence[Column], widths: list[int], *, colours: bool = False) -> str:
    shown = []
    for text, column, width in zip(row, columns, widths, strict=True):
        text = cut(text, width)
        blank = " " * (width - cells(text))
        colour = column.colour(text) if colours and column.colour else None
        cell = paint.painted(text, colour)
        shown.append(blank + cell if column.align == ">" else cell + blank)
    return GAP.join(shown).rstrip()
