"""JSON Lines: an object or a list on each line. Cut off: the last line closes nothing."""

import json

from mlosd.content import facts
from mlosd.content.encodings.plain_text import LINES, plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window

_LOOKED_AT = 20


def matches(head: bytes, _: bytes) -> bool:
    return head[:1] in (b"{", b"[", b"\xef")


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    if text is None:
        return None
    names: dict[str, None] = {}
    rows = 0
    for line in text.lines(_LOOKED_AT):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            rows += line[0] in "{[" and rows > 0  # the last line of a file that was cut
            break
        if not isinstance(row, dict | list):
            return None
        rows += 1
        names |= dict.fromkeys(row if isinstance(row, dict) else ())
    if rows < (1 if text.hint == LINES else 2):
        return None
    complete = window.tail(4096).rstrip()[-1:] in (b"}", b"]")
    return Identity("jsonl", DATASET, complete, {"columns": len(names), "names": facts.first(names)})


FORMAT = Format("jsonl", Strength.SAID, matches, describe)
