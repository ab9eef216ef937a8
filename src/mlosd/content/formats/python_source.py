"""Python: by its name, or by a shebang, or because most of its first statements are imports and definitions."""

import re

from mlosd.content.encodings.plain_text import PYTHON, plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import CODE, Identity
from mlosd.content.window import Window

_STATEMENT = re.compile(
    r"(import|from) [\w.]+( import [\w*(, ]+| as \w+)?(,.*)?(#.*)?$|(async )?def \w+\(|class \w+.*:$|@\w[\w.]*(\(|$)"
)
_LOOKED_AT = 200


def matches(_: bytes, __: bytes) -> bool:
    return True


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    if text is None or text.hint not in (PYTHON, None):
        return None
    lines = text.lines(_LOOKED_AT)
    shebang = bool(lines) and lines[0].startswith("#!") and "python" in lines[0]
    # At the margin, where prose and other languages begin their lines as well.
    outermost = [line for line in lines if line and not line[0].isspace() and not line.startswith("#")]
    statements = sum(_STATEMENT.match(line) is not None for line in outermost)
    if text.hint == PYTHON or shebang or (statements >= 3 and statements * 4 > len(outermost)):
        return Identity("python", CODE)
    return None


FORMAT = Format("python", Strength.TEXT, matches, describe)
