"""SVMlight, which libsvm and XGBoost read: a label and index:value pairs on each line."""

import re

from mlosd.content.encodings.plain_text import plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window

_LINE = re.compile(r"[-+]?\d+(\.\d+)?( (qid|\d+):[-+.\deE]+)+\s*(#.*)?")
_LOOKED_AT = 20
_LONGEST = 8192


def matches(head: bytes, _: bytes) -> bool:
    return head[:1] in b"+-0123456789" and b":" in head[:200]


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    lines = [line for line in text.lines(_LOOKED_AT) if line] if text else []
    if not lines or not all(len(line) > _LONGEST or _LINE.fullmatch(line) for line in lines):
        return None
    return Identity("svmlight", DATASET)


FORMAT = Format("svmlight", Strength.SAID, matches, describe)
