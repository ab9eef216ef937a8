"""A job's trace: what its keeper saw of the job's files and processes (native/trace.c writes it).

Text, one record a line, fields separated by one space. Names are bytes, escaped as in mountinfo: space, tab, newline
and backslash as three octal digits. Times are nanoseconds since the keeper began, CLOCK_BOOTTIME. A trace without
`End` is that of a job which runs, or whose keeper was killed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

_ESCAPED = re.compile(rb"\\([0-7]{3})")
_TO_ESCAPE = re.compile(rb"[ \t\n\\]")
_MODES = re.compile(r"(?!$)r?w?x?\Z")
_HEX_DIGITS = frozenset(b"0123456789abcdef")
_FSID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Begin:
    """When the keeper began: by the wall clock, and by CLOCK_BOOTTIME, which all `at` count from."""

    realtime_ns: int
    boottime_ns: int


@dataclass(frozen=True, slots=True)
class Covered:
    """A file system whose files are observed. `filesystem` is its f_fsid, 16 hex digits."""

    filesystem: str
    fstype: str
    mount_point: bytes


@dataclass(frozen=True, slots=True)
class File:
    """The first sight of a file; `number` stands for it from now on.

    `modes`: "r" opened, "w" closed after writing, "x" executed. `path` is the host's. None, or `size` -1: the file was
    gone before the keeper could look. `btime_ns` 0: its file system does not tell.
    """

    number: int
    at: int
    pid: int
    modes: str
    filesystem: str
    handle_type: int
    handle: bytes
    parent_type: int
    parent: bytes
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    btime_ns: int
    path: bytes | None


@dataclass(frozen=True, slots=True)
class Again:
    """File `number` was used in new `modes`, or opened once more after it had been written."""

    number: int
    at: int
    modes: str


@dataclass(frozen=True, slots=True)
class Closed:
    """File `number` was closed after writing, and looked like this. `size` -1: it was gone already."""

    number: int
    at: int
    pid: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Renamed:
    """File `number` has this path now."""

    number: int
    at: int
    pid: int
    path: bytes


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the job began, or became another program. `parent` 0, `executable` None: not known."""

    at: int
    pid: int
    parent: int
    executable: bytes | None


@dataclass(frozen=True, slots=True)
class Exited:
    """A process of the job ended; `status` as wait(2) gives it."""

    at: int
    pid: int
    status: int


@dataclass(frozen=True, slots=True)
class Partial:
    """Why the trace does not have everything."""

    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """Nothing of the job is left: the last record."""

    at: int


Record = Begin | Covered | File | Again | Closed | Renamed | Process | Exited | Partial | End


class TraceDamaged(ValueError):
    """A line is none that a keeper writes. `records` came before it, in `consumed` bytes."""

    def __init__(self, line: bytes, records: list[Record], consumed: int) -> None:
        super().__init__(f"not a record of a trace: {line[:80]!r}")
        self.records = records
        self.consumed = consumed


def parse(data: bytes) -> tuple[list[Record], int]:
    """The records of all whole lines, and how many bytes they took. Raises TraceDamaged, and nothing else."""
    records: list[Record] = []
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        line = data[at:end]
        word, _, rest = line.partition(b" ")
        try:
            records.append(_READERS[word](rest))
        except (KeyError, ValueError) as e:
            raise TraceDamaged(line, records, at) from e
        at = end + 1
    return records, at


def line(record: Record) -> bytes:
    """The line of a record, as a keeper writes it."""
    match record:
        case Begin(realtime_ns, boottime_ns):
            return b"begin %d %d\n" % (realtime_ns, boottime_ns)
        case Covered(filesystem, fstype, mount_point):
            return b"covered %s %s %s\n" % (filesystem.encode(), escape(fstype.encode()), escape(mount_point))
        case File():
            return _file_line(record)
        case Again(number, at, modes):
            return b"again %d %d %s\n" % (number, at, modes.encode())
        case Closed(number, at, pid, size, mtime_ns, ctime_ns):
            return b"closed %d %d %d %d %d %d\n" % (number, at, pid, size, mtime_ns, ctime_ns)
        case Renamed(number, at, pid, path):
            return b"renamed %d %d %d %s\n" % (number, at, pid, escape(path))
        case Process(at, pid, parent, executable):
            return b"process %d %d %d %s\n" % (at, pid, parent, _name_or_dash(executable))
        case Exited(at, pid, status):
            return b"exited %d %d %d\n" % (at, pid, status)
        case Partial(reason):
            words = (escape(word) for word in reason.encode("utf-8", "surrogateescape").split(b" "))
            return b"partial %s\n" % b" ".join(words)
        case End(at):
            return b"end %d\n" % at


def escape(name: bytes) -> bytes:
    """A name as one field of a line."""
    return _TO_ESCAPE.sub(lambda match: b"\\%03o" % match[0][0], name)


def unescape(field: bytes) -> bytes:
    """The name that a field stands for."""
    if b"\\" not in field:
        return field
    return _ESCAPED.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), field)


def _file_line(file: File) -> bytes:
    return b"file %d %d %d %s %s %d.%s %d.%s %d %d %d %d %d %s\n" % (
        file.number,
        file.at,
        file.pid,
        file.modes.encode(),
        file.filesystem.encode(),
        file.handle_type,
        file.handle.hex().encode(),
        file.parent_type,
        file.parent.hex().encode(),
        file.inode,
        file.size,
        file.mtime_ns,
        file.ctime_ns,
        file.btime_ns,
        _name_or_dash(file.path),
    )


def _name_or_dash(name: bytes | None) -> bytes:
    # Paths are absolute: none of them is a dash.
    return b"-" if name is None else escape(name)


def _begin(rest: bytes) -> Record:
    realtime_ns, boottime_ns = rest.split(b" ")
    return Begin(_number(realtime_ns), _number(boottime_ns))


def _covered(rest: bytes) -> Record:
    filesystem, fstype, mount_point = rest.split(b" ")
    return Covered(_filesystem(filesystem), unescape(fstype).decode(), _path(mount_point))


def _file(rest: bytes) -> Record:
    number, at, pid, modes, filesystem, handle, parent, inode, size, mtime, ctime, btime, path = rest.split(b" ")
    handle_type, handle_bytes = _handle(handle)
    parent_type, parent_bytes = _handle(parent)
    return File(
        number=_number(number),
        at=_number(at),
        pid=_number(pid),
        modes=_modes(modes),
        filesystem=_filesystem(filesystem),
        handle_type=handle_type,
        handle=handle_bytes,
        parent_type=parent_type,
        parent=parent_bytes,
        inode=_number(inode),
        size=_signed(size),
        mtime_ns=_signed(mtime),
        ctime_ns=_signed(ctime),
        btime_ns=_signed(btime),
        path=_path_or_none(path),
    )


def _again(rest: bytes) -> Record:
    number, at, modes = rest.split(b" ")
    return Again(_number(number), _number(at), _modes(modes))


def _closed(rest: bytes) -> Record:
    number, at, pid, size, mtime, ctime = rest.split(b" ")
    return Closed(_number(number), _number(at), _number(pid), _signed(size), _signed(mtime), _signed(ctime))


def _renamed(rest: bytes) -> Record:
    number, at, pid, path = rest.split(b" ")
    return Renamed(_number(number), _number(at), _number(pid), _path(path))


def _process(rest: bytes) -> Record:
    at, pid, parent, executable = rest.split(b" ")
    return Process(_number(at), _number(pid), _number(parent), _path_or_none(executable))


def _exited(rest: bytes) -> Record:
    at, pid, status = rest.split(b" ")
    return Exited(_number(at), _number(pid), _number(status))


def _partial(rest: bytes) -> Record:
    return Partial(unescape(rest).decode("utf-8", "surrogateescape"))


def _end(rest: bytes) -> Record:
    return End(_number(rest))


_READERS: dict[bytes, Callable[[bytes], Record]] = {
    b"begin": _begin,
    b"covered": _covered,
    b"file": _file,
    b"again": _again,
    b"closed": _closed,
    b"renamed": _renamed,
    b"process": _process,
    b"exited": _exited,
    b"partial": _partial,
    b"end": _end,
}


def _number(field: bytes) -> int:
    if not field.isdigit():  # int() would take "+1" and "1_0" as well
        raise ValueError(field)
    return int(field)


def _signed(field: bytes) -> int:
    # Times before 1970 are negative; so is the size of what is gone.
    return -_number(field[1:]) if field.startswith(b"-") else _number(field)


def _handle(field: bytes) -> tuple[int, bytes]:
    kind, dot, digits = field.partition(b".")
    if not dot or not _HEX_DIGITS.issuperset(digits):
        raise ValueError(field)
    return _number(kind), bytes.fromhex(digits.decode())


def _filesystem(field: bytes) -> str:
    if len(field) != _FSID_DIGITS or not _HEX_DIGITS.issuperset(field):
        raise ValueError(field)
    return field.decode()


def _modes(field: bytes) -> str:
    modes = field.decode()
    if not _MODES.match(modes):
        raise ValueError(field)
    return modes


def _path(field: bytes) -> bytes:
    if not field.startswith(b"/"):
        raise ValueError(field)
    return unescape(field)


def _path_or_none(field: bytes) -> bytes | None:
    return None if field == b"-" else _path(field)
