"""Sound and film: WAV, FLAC, Ogg, MP3, AIFF, AVI, MP4, Matroska. Cut off: a RIFF file shorter than it says."""

from mlosd.content.format import Format, Strength
from mlosd.content.identity import DATASET, Identity
from mlosd.content.window import Window

_MAGICS = {b"fLaC": "flac", b"OggS": "ogg", b"ID3": "mp3", b"\x1a\x45\xdf\xa3": "matroska"}
_RIFF = {b"WAVE": "wav", b"AVI ": "avi"}
_ENDLESS = 0xFFFFFFFF  # the size that a recorder writes before it knows


def matches(head: bytes, _: bytes) -> bool:
    return _name(head) is not None


def describe(window: Window) -> Identity:
    name = _name(window.head) or "sound"
    complete = True
    if window.head.startswith(b"RIFF"):
        size = int.from_bytes(window.head[4:8], "little")
        complete = size == _ENDLESS or size + 8 <= window.size
    return Identity(name, DATASET, complete)


def _name(head: bytes) -> str | None:
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] == b"ftyp":
        return "mp4"
    if len(head) > 4 and head[0] == 0xFF and head[1] in (0xFB, 0xF3, 0xF2) and head[2] >> 4 not in (0, 15):
        return "mp3"
    return next((name for magic, name in _MAGICS.items() if head.startswith(magic)), None)


FORMAT = Format("sound or film", Strength.CONTAINER, matches, describe)
