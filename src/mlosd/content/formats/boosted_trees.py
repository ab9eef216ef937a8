"""Models of gradient boosting in the libraries' own formats: LightGBM's text, CatBoost's CBM1, XGBoost's JSON, UBJSON
and older binary. Cut off: LightGBM without its end of trees.
"""

from mlosd.content.format import Format, Strength
from mlosd.content.identity import MODEL, Identity
from mlosd.content.window import Window

_LIGHTGBM = b"tree\nversion=v"
_UBJSON = b"{L\0\0\0\0\0\0\0\x07learner"
_XGBOOST = (b'{"learner"', _UBJSON, b"binf")


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith((_LIGHTGBM, b"CBM1", *_XGBOOST))


def describe(window: Window) -> Identity:
    head = window.head
    if head.startswith(_LIGHTGBM):
        complete = b"end of parameters" in window.tail(64 << 10) or b"end of trees" in window.tail(1 << 20)
        return Identity("lightgbm", MODEL, complete)
    if head.startswith(b"CBM1"):
        size = int.from_bytes(window.exactly(4, 4), "little")
        return Identity("catboost", MODEL, size + 8 <= window.size)
    complete = head.startswith(b"binf") or window.tail(16).rstrip().endswith(b"}")
    return Identity("xgboost", MODEL, complete)


FORMAT = Format("boosted trees", Strength.MAGIC, matches, describe)
