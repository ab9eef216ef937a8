"""POSIX access control lists as the kernel stores them (acl(5)): the extended attribute system.posix_acl_access.

Layout (include/uapi/linux/posix_acl_xattr.h): a little-endian u32 version, 2, then per entry u16 tag, u16 permissions,
u32 id. Entries are in the order of their tags, and of their ids within a tag.
"""

import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"

_VERSION = 2
_NO_ID = 0xFFFFFFFF
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")


class Tag(IntEnum):
    USER_OBJ = 0x01
    USER = 0x02
    GROUP_OBJ = 0x04
    GROUP = 0x08
    MASK = 0x10
    OTHER = 0x20


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """`permissions`: read 4, write 2, execute 1. `id`: the uid or gid of USER and GROUP, None for the other tags."""

    tag: Tag
    permissions: int
    id: int | None = None


def encode(entries: Iterable[Entry]) -> bytes:
    ordered = sorted(entries, key=lambda entry: (entry.tag, entry.id if entry.id is not None else -1))
    packed = (_ENTRY.pack(e.tag, e.permissions, _NO_ID if e.id is None else e.id) for e in ordered)
    return _HEADER.pack(_VERSION) + b"".join(packed)


def decode(value: bytes) -> tuple[Entry, ...]:
    """Raises ValueError for bytes that are no list."""
    try:
        (version,) = _HEADER.unpack_from(value)
        if version != _VERSION:
            raise ValueError(f"version {version}")
        return tuple(
            Entry(Tag(tag), permissions, None if number == _NO_ID else number)
            for tag, permissions, number in _ENTRY.iter_unpack(value[_HEADER.size :])
        )
    except (struct.error, ValueError) as e:
        raise ValueError(f"not a POSIX ACL: {e}") from e


def read(file: int | Path, attribute: str = ACCESS) -> tuple[Entry, ...] | None:
    """The list of a file; None: it has its mode only. A file system without ACLs raises OSError with EOPNOTSUPP."""
    try:
        return decode(os.getxattr(file, attribute))
    except OSError as e:
        if e.errno == errno.ENODATA:
            return None
        raise


def write(file: int | Path, entries: Iterable[Entry], attribute: str = ACCESS) -> None:
    """Set the list. The kernel checks that it is complete, and raises EINVAL when it is not."""
    os.setxattr(file, attribute, encode(entries))
