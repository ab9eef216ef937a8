"""TFRecord: records with a length, a checksum of the length, data, a checksum. The first checksum proves it.

Cut off: a record longer than the file. Logs of TensorBoard are records too, and no data.
"""

import struct

from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window

_HEADER = 12
_AROUND = 16
_MOST_RECORDS = 2000


def matches(head: bytes, _: bytes) -> bool:
    return len(head) > _HEADER and _is_length(head[:_HEADER])


def describe(window: Window) -> Identity:
    events = b"brain.Event:" in window.head[:64]
    at = records = 0
    complete = True
    while at < window.size and records < _MOST_RECORDS:
        header = window.near(at, _HEADER)
        if len(header) < _HEADER or not _is_length(header):
            complete = False
            break
        (length,) = struct.unpack_from("<Q", header)
        at += _AROUND + length
        records += 1
        complete = at <= window.size
    told = {"records": records} if at >= window.size else {"records_at_least": records}
    return Identity("tensorboard log" if events else "tfrecord", None if events else DATASET, complete, told)


def _is_length(header: bytes) -> bool:
    (given,) = struct.unpack_from("<I", header, 8)
    crc = _crc32c(header[:8])
    return bool(given == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _entry(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_TABLE = tuple(map(_entry, range(256)))

FORMAT = Format("tfrecord", Strength.SHAPE, matches, describe, extensions=(".tfrecord",))
