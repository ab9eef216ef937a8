"""Text that is nothing else. What it is for, content alone does not tell."""

from mlosd.content.encodings.plain_text import plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import Identity
from mlosd.content.window import Window


def matches(_: bytes, __: bytes) -> bool:
    return True


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    return None if text is None else Identity("text", None, True, {"encoding": text.encoding})


FORMAT = Format("text", Strength.ANY_TEXT, matches, describe)
