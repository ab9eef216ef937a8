"""XML and HTML. PMML is a model in XML."""

from mlosd.content.encodings.plain_text import plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import MODEL, Identity
from mlosd.content.window import Window

_FIRST = b"< \t\r\n\xef"


def matches(head: bytes, _: bytes) -> bool:
    return head[0] in _FIRST


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    start = text.start.lstrip() if text else ""
    if "<PMML" in start[:4096]:
        return Identity("pmml", MODEL, b"</PMML>" in window.tail(256))
    if start.startswith("<?xml"):
        return Identity("xml")
    if start[:15].lower().startswith(("<!doctype html", "<html")):
        return Identity("html")
    return None


FORMAT = Format("markup", Strength.SAID, matches, describe)
