"""tar: headers of 512 bytes, each before its file. Samples of data (images, sound, arrays) make it a dataset, as
webdataset does it; a pickle beside its storages is what torch wrote before 1.6. Cut off: no empty blocks at the end.
"""

from mlosd.content import facts
from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Damaged, Window

_BLOCK = 512
_MAGIC_AT = 257
_FILE = (b"0", b"\0")
_LOOKED_AT = 60
_SAMPLES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"\x93NUMPY", b"fLaC", b"OggS", b"ID3", b"PAR1", b"GIF8")
_OF_TORCH = {"pickle", "storages", "tensors"}


def matches(head: bytes, _: bytes) -> bool:
    return head[_MAGIC_AT : _MAGIC_AT + 5] == b"ustar"


def describe(window: Window) -> Identity:
    names: list[str] = []
    samples = at = 0
    while at + _BLOCK <= window.size and len(names) < _LOOKED_AT:
        header = window.near(at, _BLOCK)
        if not header.strip(b"\0"):
            break
        size = _size(header[124:136])
        if header[156:157] in _FILE:
            names.append(facts.text(header[:100].rstrip(b"\0"), most=200))
            samples += window.near(at + _BLOCK, 8).startswith(_SAMPLES)
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    complete = at <= window.size and window.size % _BLOCK == 0 and not window.tail(2 * _BLOCK).strip(b"\0")
    if set(names) >= _OF_TORCH:
        return Identity("torch tar", None, complete, {"names": names})
    return Identity("tar", DATASET if samples * 3 > len(names) else None, complete, {"names": names})


def _size(field: bytes) -> int:
    if field[:1] in (b"\x80", b"\xff"):  # beyond 8 GiB: a binary number
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not all(digit in b"01234567" for digit in digits):
        raise Damaged("a size in it is no number")
    return int(digits, 8)


FORMAT = Format("tar", Strength.MAGIC, matches, describe, extensions=(".tar",))
