"""Pickle, protocols 0 to 5, and what joblib writes uncompressed (arrays in between).

Never unpickled: its operations are listed (`encodings/pickle_machine.py`), and the classes and the structure in that
listing tell a model (an estimator, a module, a dict of parameters) from data (arrays, tables, rows) and from the rest.
A function that no model needs, such as posix.system, is a warning. Cut off: no STOP at the end.
"""

from mlosd.content.encodings.joblib_arrays import WRAPPER
from mlosd.content.encodings.pickle_machine import beginning
from mlosd.content.encodings.stream import Stream
from mlosd.content.format import Format, Strength
from mlosd.content.identity import Identity
from mlosd.content.pickle_identity import identity
from mlosd.content.window import Window

_PROTOCOLS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_STOP = b"."


def matches(head: bytes, _: bytes) -> bool:
    return head[:2] in _PROTOCOLS


def describe(window: Window) -> Identity:
    listing = beginning(Stream(window))
    # Too long to be listed to its end: a pickle that was cut does not end with STOP.
    complete = listing.stopped or (listing.end > 0 and window.tail(1) == _STOP)
    name = "joblib" if WRAPPER in listing.globals else "pickle"
    return identity(name, listing, complete=complete, header={"protocol": listing.protocol})


FORMAT = Format("pickle", Strength.CONTAINER, matches, describe, extensions=(".pkl", ".pickle"))
