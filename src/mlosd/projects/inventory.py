"""Take inventory of a dataset: `python -P -m mlosd.projects.inventory JSON`, a process of its own, run as its owner.

Names and times of a million files, and the trie over them, take memory and CPU that the daemon need not have. It is
given descriptors only: the directory, what is known of it (state.py), and where to write the new state and either the
changes since, or all nodes of a new manifest. It tells how far it is, a JSON object a line, on standard output.
"""

import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from mlosd.kernel.ioprio import ioprio_idle
from mlosd.kernel.lease import has_writers
from mlosd.projects import manifest, state
from mlosd.projects.manifest import Entry
from mlosd.projects.state import Record
from mlosd.projects.walk import is_skipped

RACY_NS = 20_000_000
"""Linux before 6.13 gives two writes within a tick the same time: a file that has just changed is looked at later."""
MOST_CHANGES = 2000
"""With more of them, the whole manifest is built anew."""
TELL_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Task:
    """What to do. Numbers are descriptors; -1: there is none. `root`: the manifest to tell the changes since, hex."""

    directory: int
    state: int
    changes: int
    partial: int
    out: int
    result: int
    root: str | None
    uid: int
    gid: int
    groups: list[int]


@dataclass(slots=True)
class Tally:
    """How far it is. `hashed`: how many files were read; `busy`: still being written; `unreadable`: not to be read."""

    files: int = 0
    bytes: int = 0
    hashed: int = 0
    busy: int = 0
    unreadable: int = 0
    changes: int = 0
    built: str | None = None
    done: bool = False
    told_at: float = field(default=0.0, repr=False)


def main() -> int:
    """Do the task of the command line."""
    task = Task(**json.loads(sys.argv[1]))
    os.nice(19)
    with suppress(OSError):
        ioprio_idle()
    if os.geteuid() == 0 != task.uid:
        os.setgroups(task.groups)
        os.setresgid(task.gid, task.gid, task.gid)
        os.setresuid(task.uid, task.uid, task.uid)
    tally = Tally()
    with open(task.out, "w+b") as out, open(task.result, "wb") as result:
        changed = _look(task, tally, out)
        if changed is None:
            out.seek(0)
            state.root_of(out)
            tally.built = _build(state.records(out), result).hex()
        else:
            result.write(b"".join(map(state.encode, changed)))
    tally.done = True
    _tell(tally)
    return 0


def _look(task: Task, tally: Tally, out: BinaryIO) -> list[Record] | None:
    """Write the state as it is now. The files that changed since the task's root; None: too many, or no such root."""
    before, root = _known(task)
    changed: list[Record] | None = [] if root is not None and root.hex() == task.root else None
    was, half = _Cursor(before), _Cursor(_partial(task))
    state.begin(out)
    for path, directory in _files(task.directory):
        skipped, known = was.to(path)
        record = _record(directory, path, (known, half.to(path)[1]), tally)
        if record is None:
            skipped += [known] if known else []
        else:
            out.write(state.encode(record))
        if changed is not None:
            changed += [gone._replace(size=-1) for gone in skipped if gone.digest]
            if record and record.digest != (known and known.digest):
                changed.append(record if record.digest else record._replace(size=-1))
            changed = changed if len(changed) <= MOST_CHANGES else None
        if time.monotonic() - tally.told_at > TELL_EVERY:
            _tell(tally)
    if changed is not None:
        changed += [gone._replace(size=-1) for gone in was.rest() if gone.digest]
        tally.changes = len(changed)
    return changed


def _record(directory: int, path: bytes, known_as: tuple[Record | None, Record | None], tally: Tally) -> Record | None:
    """A file as it is now; None: it is gone. `known_as`: in the last inventory, and in one that was cut short."""
    name, known = path[path.rfind(b"/") + 1 :], known_as[0]
    try:
        now = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(now.st_mode):
        return None
    record = _of(path, now, None)
    for one in known_as:
        if one is not None and one.digest is not None and one.identity == record.identity:
            record = one
            break
    else:
        record = _read(directory, name, path, tally) or record
        if record.digest is None and known is not None and known.digest is not None:
            # It is being written: until that ends, it is what it was.
            record = known._replace(mtime_ns=0, ctime_ns=0)
    tally.files += 1
    tally.bytes += record.size
    return record


def _read(directory: int, name: bytes, path: bytes, tally: Tally) -> Record | None:
    """A file with the digest of its content, and the times that it had with that; None: not to be had now."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        tally.unreadable += 1
        return None
    with open(fd, "rb", buffering=0) as file:
        if has_writers(fd):
            tally.busy += 1
            return None
        try:
            wait_while_racy(os.fstat(fd))
            before = os.fstat(fd)
            digest = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            tally.unreadable += 1
            return None
        after = os.fstat(fd)
    tally.hashed += 1
    if _of(path, before, digest) != _of(path, after, digest):
        tally.busy += 1
        return None
    return _of(path, after, digest)


def wait_while_racy(status: os.stat_result) -> None:
    """Until a further change would give the file another time."""
    age = time.time_ns() - status.st_ctime_ns
    if 0 <= age < RACY_NS:
        time.sleep((RACY_NS - age) / 1e9)


def _of(path: bytes, status: os.stat_result, digest: bytes | None) -> Record:
    return Record(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, digest)


def _files(top: int) -> Iterator[tuple[bytes, int]]:
    """(path below the top, its directory's fd), in the order of the paths as bytes."""
    waiting = [(b"", os.dup(top), _sorted(top))]
    try:
        while waiting:
            path, fd, names = waiting[-1]
            name = next(names, None)
            if name is None:
                os.close(waiting.pop()[1])
            elif not name.endswith(b"/"):
                yield path + name, fd
            else:
                with suppress(OSError):
                    below = os.open(name[:-1], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                    waiting.append((path + name, below, _sorted(below)))
    finally:
        for _, fd, _ in waiting:
            os.close(fd)


def _sorted(directory: int) -> Iterator[bytes]:
    """Its files and directories, the latter with a slash: so the paths of a whole tree come in order."""
    with os.scandir(directory) as entries:
        names = [
            os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
            for entry in entries
            if not (entry.is_dir(follow_symlinks=False) and is_skipped(entry.name))
            and (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False))
        ]
    names.sort()
    return iter(names)


def _build(records: Iterator[Record], result: BinaryIO) -> bytes:
    """Write all nodes of the manifest of these files."""

    def put(_: bytes, content: bytes) -> None:
        result.write(len(content).to_bytes(4, "little") + content)

    return manifest.build((Entry(r.path, r.size, r.digest) for r in records if r.digest is not None), put)


def nodes(file: BinaryIO) -> Iterator[bytes]:
    """The contents of the nodes that an inventory wrote."""
    while head := file.read(4):
        yield file.read(int.from_bytes(head, "little"))


class _Cursor:
    """Goes through sorted records beside a sorted walk."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self._next = next(records, None)

    def to(self, path: bytes) -> tuple[list[Record], Record | None]:
        """(what was passed by, the record of this path)."""
        passed = []
        while self._next is not None and self._next.path < path:
            passed.append(self._next)
            self._next = next(self._records, None)
        if self._next is None or self._next.path != path:
            return passed, None
        found, self._next = self._next, next(self._records, None)
        return passed, found

    def rest(self) -> list[Record]:
        """All that was not come to."""
        left = [] if self._next is None else [self._next]
        return left + list(self._records)


def _known(task: Task) -> tuple[Iterator[Record], bytes | None]:
    """What was known of every file, and the root of the manifest that it belongs to."""
    if task.state < 0:
        return iter(()), None
    whole = open(task.state, "rb")  # noqa: SIM115 - read to the end of this process
    root = state.root_of(whole)
    if root is None:
        return iter(()), None
    if task.changes < 0:
        return state.records(whole), root
    with open(task.changes, "rb") as file:
        since, later = state.changes(file)
    return state.merged(state.records(whole), since), later or root


def _partial(task: Task) -> Iterator[Record]:
    """What an inventory found that did not come to its end."""
    if task.partial < 0:
        return iter(())
    file = open(task.partial, "rb")  # noqa: SIM115
    state.root_of(file)
    return state.records(file)


def _tell(tally: Tally) -> None:
    tally.told_at = time.monotonic()
    print(json.dumps(asdict(tally)), flush=True)  # noqa: T201 - whoever started us reads it


if __name__ == "__main__":
    sys.exit(main())
