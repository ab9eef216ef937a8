"""The directory at the end of a zip (APPNOTE.TXT 4.3), and its members: nothing is unpacked but the few asked for.

Zips are made to lie: two directories, members that overlap, sizes of petabytes. All of it is bounded and reported.
"""

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise

from mlosd.content.window import Damaged, Window

_LOCAL, _CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_SIZE, _LOCATOR64_SIZE, _LOCAL_SIZE, _CENTRAL_SIZE = 22, 20, 30, 46
_LONGEST_COMMENT = 65535
_MOST_MEMBERS = 50_000
_MOST_DIRECTORY = 8 << 20
_MOST_UNPACKED = 1 << 20
_STORED, _DEFLATED = 0, 8
_U32_MAX, _U16_MAX = 0xFFFFFFFF, 0xFFFF
_ENCRYPTED = 1
_BOMB_RATIO = 200
_BOMB_SIZE = 1 << 30


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the zip, as the directory has it."""

    name: str
    method: int
    packed: int
    size: int
    at: int
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """`complete` False: the zip has no directory (it was cut), and `members` are those at its beginning."""

    members: tuple[Member, ...]
    complete: bool
    warnings: tuple[str, ...] = ()

    def find(self, ending: str) -> Member | None:
        """The first member whose name is, or ends in, this part of a path."""
        return next((m for m in self.members if m.name == ending or m.name.endswith("/" + ending)), None)


def directory(window: Window) -> Directory:
    """The members. Use it as `window.once(directory)`."""
    found = _end(window)
    if found is None:
        first = _local_member(window)
        return Directory((first,) if first else (), complete=False)
    at, size, count, end = found
    warnings = []
    if at + size > end:
        raise Damaged("its directory lies behind its end")
    # Bytes before the zip shift all offsets (self-extracting files do that).
    shift = end - (at + size)
    if shift:
        warnings.append(f"{shift} bytes before its first member or behind its directory belong to no member")
    members = _members(window, at + shift, min(size, _MOST_DIRECTORY), shift)
    if size > _MOST_DIRECTORY or len(members) >= _MOST_MEMBERS:
        warnings.append("its directory is too long to be read to the end")
    elif count != len(members) & _U16_MAX and count != len(members):
        warnings.append(f"its directory has {len(members)} members where it promises {count}")
    return Directory(tuple(members), complete=True, warnings=(*warnings, *_suspicious(members)))


def open_member(window: Window, member: Member) -> Window | None:
    """A window on the member: in place when stored, its unpacked beginning when deflated, else None."""
    start = _data_at(window, member)
    if start is None or member.encrypted:
        return None
    name = member.name.encode("utf-8", "replace")
    if member.method == _STORED:
        return window.part(start, member.packed or window.size - start, name=name)
    if member.method == _DEFLATED:
        packed = window.at(start, min(member.packed, _MOST_UNPACKED))
        try:
            return Window.unpacked(zlib.decompressobj(-15).decompress(packed, _MOST_UNPACKED), name=name)
        except zlib.error as e:
            raise Damaged("a member of it cannot be unpacked") from e
    return None


def _end(window: Window) -> tuple[int, int, int, int] | None:
    """Where the directory begins, its size, how many members it promises, and where it ends."""
    tail = window.tail(_END_SIZE + _LONGEST_COMMENT)
    base = window.size - len(tail)
    place = tail.rfind(_END)
    while place >= 0:
        fields = tail[place + 4 : place + _END_SIZE]
        if len(fields) == _END_SIZE - 4:
            _, _, _, count, size, at, comment = struct.unpack("<HHHHIIH", fields)
            if place + _END_SIZE + comment <= len(tail):
                end = base + place
                if _U32_MAX in (size, at) or count == _U16_MAX:
                    return _end64(window, end) or (at, size, count, end)
                return at, size, count, end
        place = tail.rfind(_END, 0, place)
    return None


def _end64(window: Window, end: int) -> tuple[int, int, int, int] | None:
    locator = window.at(end - _LOCATOR64_SIZE, _LOCATOR64_SIZE) if end >= _LOCATOR64_SIZE else b""
    if not locator.startswith(_LOCATOR64):
        return None
    (place,) = struct.unpack_from("<Q", locator, 8)
    record = window.at(place, 56)
    if not record.startswith(_END64) or len(record) < 56:
        raise Damaged("its directory is not where it should be")
    count, size, at = struct.unpack_from("<QQQ", record, 32)
    return at, size, count, place


def _members(window: Window, at: int, size: int, shift: int) -> list[Member]:
    data = window.at(at, size)
    members: list[Member] = []
    place = 0
    while place + _CENTRAL_SIZE <= len(data) and len(members) < _MOST_MEMBERS:
        if data[place : place + 4] != _CENTRAL:
            raise Damaged("its directory is damaged")
        fields = struct.unpack_from("<HHHHHHIIIHHHHHII", data, place + 4)
        flags, method, packed, unpacked = fields[2], fields[3], fields[7], fields[8]
        name_size, extra_size, comment_size, offset = fields[9], fields[10], fields[11], fields[15]
        name_at = place + _CENTRAL_SIZE
        name = data[name_at : name_at + name_size].decode("utf-8", "replace")
        extra = data[name_at + name_size : name_at + name_size + extra_size]
        unpacked, packed, offset = _zip64(extra, unpacked, packed, offset)
        members.append(Member(name, method, packed, unpacked, offset + shift, bool(flags & _ENCRYPTED)))
        place = name_at + name_size + extra_size + comment_size
    return members


def _zip64(extra: bytes, *sizes: int) -> tuple[int, int, int]:
    """Sizes and offset, of which those too large for 32 bits stand in an extra field."""
    result = list(sizes)
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            large = extra[place + 4 : place + 4 + length]
            for i, value in enumerate(result):
                if value == _U32_MAX and len(large) >= 8:
                    (result[i],) = struct.unpack_from("<Q", large)
                    large = large[8:]
            break
        place += 4 + length
    return result[0], result[1], result[2]


def _local_member(window: Window) -> Member | None:
    """The member at the very beginning. Its sizes may be 0: written behind its data, where nobody looks."""
    header = window.head[:_LOCAL_SIZE]
    if len(header) < _LOCAL_SIZE or not header.startswith(_LOCAL):
        return None
    flags, method, packed, unpacked = (struct.unpack("<HHHHHIIIHH", header[4:])[i] for i in (1, 2, 6, 7))
    (name_size,) = struct.unpack_from("<H", header, 26)
    name = window.head[_LOCAL_SIZE : _LOCAL_SIZE + name_size].decode("utf-8", "replace")
    packed = 0 if packed == _U32_MAX else packed
    return Member(name, method, packed, unpacked, 0, bool(flags & _ENCRYPTED))


def _data_at(window: Window, member: Member) -> int | None:
    header = window.at(member.at, _LOCAL_SIZE)
    if len(header) < _LOCAL_SIZE or not header.startswith(_LOCAL):
        return None
    name_size, extra_size = struct.unpack_from("<HH", header, 26)
    return member.at + _LOCAL_SIZE + int(name_size) + int(extra_size)


def _suspicious(members: list[Member]) -> list[str]:
    warnings = []
    if len({member.name for member in members}) != len(members):
        warnings.append("two of its members have the same name")
    in_order = sorted(members, key=lambda member: member.at)
    ends = ((member.at + _LOCAL_SIZE + member.packed, after.at) for member, after in pairwise(in_order))
    if any(end > start for end, start in ends):
        warnings.append("its members overlap")
    unpacked, packed = sum(m.size for m in members), sum(m.packed for m in members)
    if unpacked > _BOMB_SIZE and unpacked > packed * _BOMB_RATIO:
        warnings.append(f"it would unpack to {unpacked} bytes")
    if any(member.encrypted for member in members):
        warnings.append("members of it are encrypted")
    return warnings
