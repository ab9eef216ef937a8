"""What is known of each file of a dataset: inode, size, times, digest; sorted by path, packed into one file.

So nothing is read twice, and a million files are not a million rows. `<id>.state` is the whole, as of the last
inventory; `<id>.changes` has what was seen since, the last word of a path counts; `<id>.partial` is an inventory that
did not come to its end. A record says itself whether it is whole; what follows a damaged one is not believed.
"""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC = b"mlos-state 1\n\0\0\0"
_HEADER = struct.Struct("<16s32s")
_FIXED = struct.Struct("<QQqqI32sH")
_NONE = bytes(32)
_GONE = (1 << 64) - 1


class Record(NamedTuple):
    """A file. `size` -1: it is gone. `digest` None: it could not be read, or was still being written."""

    path: bytes
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    digest: bytes | None

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """What stays equal while nobody touches the file."""
        return self.inode, self.size, self.mtime_ns, self.ctime_ns


def encode(record: Record) -> bytes:
    """The bytes of a record."""
    size = _GONE if record.size < 0 else record.size
    head = (record.inode, size, record.mtime_ns, record.ctime_ns)
    tail = (record.digest or _NONE, len(record.path))
    sum_ = zlib.crc32(record.path, zlib.crc32(_FIXED.pack(*head, 0, *tail)))
    return _FIXED.pack(*head, sum_, *tail) + record.path


def begin(file: BinaryIO) -> None:
    """Write the header of a state whose manifest is not known yet."""
    file.write(_HEADER.pack(MAGIC, _NONE))


def finish(path: Path, root: bytes, *, final: Path) -> None:
    """The state is whole, and this is the root of its manifest: from now on it counts, also after a power cut."""
    with open(path, "r+b") as file:
        file.write(_HEADER.pack(MAGIC, root))
        file.flush()
        os.fsync(file.fileno())
    path.rename(final)


def root_of(file: BinaryIO) -> bytes | None:
    """The manifest that a state belongs to; None: to none, or it is not ours. Leaves the file at its first record."""
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, root = _HEADER.unpack(head)
    return root if magic == MAGIC and root != _NONE else None


def records(file: BinaryIO) -> Iterator[Record]:
    """The records from here to the end, or to the first damaged one."""
    while len(fixed := file.read(_FIXED.size)) == _FIXED.size:
        inode, size, mtime_ns, ctime_ns, sum_, digest, length = _FIXED.unpack(fixed)
        path = file.read(length)
        unsummed = fixed[:32] + bytes(4) + fixed[36:]
        if len(path) < length or zlib.crc32(path, zlib.crc32(unsummed)) != sum_:
            return
        yield Record(
            path, inode, -1 if size == _GONE else size, mtime_ns, ctime_ns, None if digest == _NONE else digest
        )


def append(path: Path, changed: Iterable[Record], root: bytes) -> None:
    """Note what was seen since the inventory, and the root that the manifest has with it."""
    last = Record(b"", 0, 0, 0, 0, root)
    with open(path, "ab") as file:
        file.write(b"".join(map(encode, [*changed, last])))


def changes(file: BinaryIO) -> tuple[dict[bytes, Record], bytes | None]:
    """What was seen since the inventory, by path, and the root that the manifest has with it."""
    seen: dict[bytes, Record] = {}
    waiting: dict[bytes, Record] = {}
    root = None
    for record in records(file):
        if record.path:
            waiting[record.path] = record
        else:
            seen |= waiting
            waiting.clear()
            root = record.digest
    return seen, root


def merged(whole: Iterator[Record], since: dict[bytes, Record]) -> Iterator[Record]:
    """A sorted state as it is with the changes since; what is gone is left out."""
    later = iter(sorted(since.values()))
    change = next(later, None)
    for record in whole:
        while change is not None and change.path < record.path:
            if change.size >= 0:
                yield change
            change = next(later, None)
        if change is not None and change.path == record.path:
            if change.size >= 0:
                yield change
            change = next(later, None)
        else:
            yield record
    while change is not None:
        if change.size >= 0:
            yield change
        change = next(later, None)
