"""SQLite 3: a header of 100 bytes, then pages. Cut off: fewer pages than the header says."""

import struct

from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window

_MAGIC = b"SQLite format 3\0"


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(_MAGIC)


def describe(window: Window) -> Identity:
    header = window.exactly(0, 100)
    (page_size,) = struct.unpack_from(">H", header, 16)
    page_size = 65536 if page_size == 1 else page_size
    changes, pages = struct.unpack_from(">II", header, 24)
    (valid_for,) = struct.unpack_from(">I", header, 92)
    # The number of pages is current when the two counters agree (fileformat2.html, 1.3.7).
    complete = changes != valid_for or pages * page_size <= window.size
    return Identity("sqlite", DATASET, complete, {"page_size": page_size, "pages": pages})


FORMAT = Format("sqlite", Strength.MAGIC, matches, describe)
