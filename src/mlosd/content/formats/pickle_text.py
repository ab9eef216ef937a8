"""Pickle of protocol 0 or 1, which has no magic: its operations are letters.

It is taken for one only when the machine runs it to its STOP, at the end of the file, and something was imported or
collected on the way: a text that happens to begin like that does not.
"""

from mlosd.content.encodings.pickle_machine import listing
from mlosd.content.encodings.stream import Stream
from mlosd.content.format import Format, Strength
from mlosd.content.identity import Identity
from mlosd.content.pickle_identity import identity
from mlosd.content.window import Damaged, Window

_FIRST = frozenset(b"(]}c)lV")
_FEWEST = 4
_MOST = 20_000


def matches(head: bytes, _: bytes) -> bool:
    return head[0] in _FIRST


def describe(window: Window) -> Identity | None:
    if window.tail(1) != b".":
        return None
    try:
        found = listing(Stream(window), _MOST)
    except Damaged:
        return None
    if found.operations < _FEWEST or (found.stopped and found.end != window.size):
        return None
    return identity("pickle", found, complete=True, header={"protocol": found.protocol})


FORMAT = Format("pickle", Strength.SHAPE, matches, describe)
