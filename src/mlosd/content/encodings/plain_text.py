"""Whether a file is text, its beginning as such, and what its name hints at: text has no magic."""

import codecs
import posixpath
from dataclasses import dataclass

from mlosd.content.window import HEAD, Window

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Control characters that text has: tab, newline, form feed, carriage return, escape (coloured logs), backspace.
_CONTROLS = bytes(set(range(32)) - {8, 9, 10, 12, 13, 27}) + b"\x7f"
_FEW = 0.02

PYTHON, SOURCE, TABLE, CONFIG, PROSE, JSON, LINES = "python", "source", "table", "config", "prose", "json", "lines"
_HINTS = {
    PYTHON: "py pyi pyw pyx",
    SOURCE: "sh bash zsh fish r rmd jl c h cc cpp cxx hpp cu cuh rs go js ts java scala sql pl lua m f90 mk cmake ps1",
    TABLE: "csv tsv tab psv",
    CONFIG: "toml yaml yml ini cfg conf env properties lock json5 hcl",
    PROSE: "md rst log tex html htm",
    JSON: "json ipynb geojson",
    LINES: "jsonl ndjson",
}
_BY_EXTENSION = {f".{extension}": hint for hint, extensions in _HINTS.items() for extension in extensions.split()}
_BY_NAME = {
    "makefile": SOURCE,
    "dockerfile": SOURCE,
    "snakefile": SOURCE,
    "requirements.txt": CONFIG,
    "cmakelists.txt": SOURCE,
    "mlmodel": CONFIG,
    ".gitignore": CONFIG,
    ".env": CONFIG,
}


@dataclass(frozen=True, slots=True)
class PlainText:
    """`start`: the beginning, without the mark that tells the encoding. `hint`: what the name says it is."""

    start: str
    encoding: str
    hint: str | None
    is_whole: bool

    def lines(self, most: int) -> list[str]:
        """The first lines that are there to their end."""
        lines = self.start.split("\n", most)
        whole = lines[:most] if len(lines) > most or self.is_whole else lines[:-1]
        return [line.removesuffix("\r") for line in whole]


def plain_text(window: Window) -> PlainText | None:
    """The text; None: it is none. Use it as `window.once(plain_text)`."""
    head = window.head
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return _text(window, head[len(mark) :].decode(encoding, "replace"), encoding)
    if b"\0" in head:
        return None
    try:
        # A character may be cut in two at the end of what was read.
        start = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD)
    except UnicodeDecodeError:
        start = ""
    if start:
        controls = len(head) - len(head.translate(None, _CONTROLS))
        return _text(window, start, "utf-8") if controls <= len(head) * _FEW else None
    controls = len(head) - len(head.translate(None, _CONTROLS))
    high = sum(byte > 127 for byte in head[:2048])
    if controls or high > len(head[:2048]) * 0.3:
        return None
    return _text(window, head.decode("latin-1"), "not UTF-8")


def name_of(window: Window) -> str:
    """The last part of the file's name, in small letters."""
    return posixpath.basename(window.name.decode("latin-1")).lower()


def _text(window: Window, start: str, encoding: str) -> PlainText:
    hint = _BY_NAME.get(name_of(window)) or _BY_EXTENSION.get(window.extension)
    return PlainText(start, encoding, hint, window.is_whole)
