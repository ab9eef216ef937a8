"""One change of the machine, as the undo log remembers it. Values only."""

import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any

# What an undo does first. Within a rank: newest first.
FIRST, NORMAL, LAST = 0, 100, 200


@dataclass(frozen=True, slots=True)
class Change:
    """A value of `target` that is to become another. None: the target is not there, as a table or directory of ours.

    `kind` says how the target is read and written (mlosd.undo.kinds); `rank` when it is undone, lowest first.
    """

    knob: str
    kind: str
    target: str
    before: str | None
    after: str | None
    rank: int = NORMAL

    @property
    def key(self) -> tuple[str, str]:
        """Two changes with the same key are of the same thing."""
        return (self.kind, self.target)


@dataclass(frozen=True, slots=True)
class Pending:
    """All that was done to one target and is not undone: what was there first, and each value that we wrote."""

    knob: str
    kind: str
    target: str
    before: str | None
    written: tuple[str | None, ...]
    rank: int
    seq: int

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, self.target)

    @property
    def after(self) -> str | None:
        """What we wrote last."""
        return self.written[-1]


class Malformed(ValueError):
    """A line that is not one of ours, or was cut or damaged."""


def encode(record: dict[str, Any], boot: str = "") -> bytes:
    """A record as a line: a checksum, a space, JSON. `boot` is in the checksum: a line is of one boot and no other."""
    body = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    return b"%08x %s\n" % (_checksum(body, boot), body)


def decode(line: bytes, boot: str = "") -> dict[str, Any]:
    """The record of a whole line. Raises Malformed."""
    checksum, _, body = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % _checksum(body, boot):
        raise Malformed(line)
    try:
        record = json.loads(body)
    except ValueError as e:
        raise Malformed(line) from e
    if not isinstance(record, dict):
        raise Malformed(line)
    return record


def _checksum(body: bytes, boot: str) -> int:
    return zlib.crc32(body, zlib.crc32(boot.encode()))


def as_record(change: Change) -> dict[str, Any]:
    """For `encode`."""
    return {"change": asdict(change)}


def of_record(record: dict[str, Any]) -> Change:
    """Raises Malformed where it is of another format."""
    try:
        return Change(**record["change"])
    except (KeyError, TypeError) as e:
        raise Malformed(str(record)) from e
