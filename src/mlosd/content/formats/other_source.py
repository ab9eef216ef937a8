"""Code in other languages: by a shebang, or by the name of a file that is text."""

from mlosd.content.encodings.plain_text import SOURCE, plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import CODE, Identity
from mlosd.content.window import Window


def matches(_: bytes, __: bytes) -> bool:
    return True


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    if text is None:
        return None
    if text.start.startswith("#!/") and "python" not in text.start[:100].split("\n")[0]:
        return Identity("script", CODE)
    return Identity("source", CODE) if text.hint == SOURCE else None


FORMAT = Format("source", Strength.SAID, matches, describe)
