"""DuckDB: DUCK behind a checksum."""

import struct

from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window


def matches(head: bytes, _: bytes) -> bool:
    return head[8:12] == b"DUCK" and len(head) >= 20


def describe(window: Window) -> Identity:
    (version,) = struct.unpack_from("<Q", window.head, 12)
    return Identity("duckdb", DATASET, True, {"version": version})


FORMAT = Format("duckdb", Strength.MAGIC, matches, describe)
