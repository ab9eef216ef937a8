"""Where the Arrow snapshots are: one directory a user, RUN/snapshots/<uid>, which that user alone can read.

A snapshot is written beside the old one and changes places with it; the old one is removed, and whoever has it mapped
keeps it. Nothing in a snapshot is ever written to again.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import mlosd
from mlosd.core.errors import Refused
from mlosd.exchange import arrow_tables
from mlosd.kernel import posix_acl
from mlosd.kernel.posix_acl import Entry, Tag
from mlosd.kernel.renameat2 import RENAME_EXCHANGE, renameat2
from mlosd.store.snapshot import TableSnapshot

_NEW = ".new-"
SECONDS = 600


@dataclass(frozen=True, slots=True)
class Sequence:
    """Which commit a snapshot has, at least. `epoch`: nanoseconds since 1970 when the daemon began; `commit` counts
    from there (PRAGMA data_version of a connection that the daemon keeps: it changes with every commit of the writer).
    """

    epoch: int
    commit: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.commit}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that is there."""

    path: Path
    sequence: Sequence
    rows: Mapping[str, int]
    bytes: int


class Shelf:
    """The snapshots of every user. `own_uid`: whom the daemon runs as."""

    def __init__(self, directory: Path, *, own_uid: int) -> None:
        self._directory = directory
        self._own_uid = own_uid

    def put(self, snapshot: TableSnapshot, *, uid: int, gid: int, sequence: Sequence) -> Kept:
        """Write what is in the snapshot's scope for this user. Raises Refused."""
        self._directory.mkdir(exist_ok=True)
        self._directory.chmod(0o755)
        self._sweep()
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._directory))
        try:
            rows = self._fill(new, snapshot, uid=uid, gid=gid, sequence=sequence)
            size = sum(file.stat().st_size for file in new.iterdir())
            new.chmod(0o500)
            if self._own_uid == 0 != uid:
                _let_in(new, uid, gid)
            kept = Kept(self._directory / str(uid), sequence, rows, size)
            self._replace(kept.path, new)
        except OSError as e:
            raise Refused(f"{self._directory}: {e.strerror}", hint="is the disk full?") from e
        finally:
            _remove(new)  # what is there now is the old one
        return kept

    def _fill(
        self, directory: Path, snapshot: TableSnapshot, *, uid: int, gid: int, sequence: Sequence
    ) -> dict[str, int]:
        schema, rows = arrow_tables.schema(), dict.fromkeys(arrow_tables.TABLES, 0)
        with ExitStack() as opened:
            files: dict[str, IO[bytes]] = {}
            for name in schema:
                files[name] = opened.enter_context((directory / f"{name}.arrow").open("xb"))
            process = opened.enter_context(self._writer(uid, gid, [file.fileno() for file in files.values()]))
            opened.callback(process.kill)
            assert process.stdin is not None
            metadata = {
                "mlosd.version": mlosd.__version__,
                "mlosd.sequence": str(sequence),
                "mlosd.made_at": f"{time.time():.6f}",
                "mlosd.uid": str(uid),
            }
            tables = {name: {"fd": files[name].fileno(), "columns": columns} for name, columns in schema.items()}
            with suppress(BrokenPipeError), process.stdin as out:  # why it broke, its exit code tells
                _tell(out, {"tables": tables, "metadata": metadata})
                for name, count, columns in arrow_tables.batches(snapshot):
                    rows[name] += count
                    _tell(out, {"table": name, "columns": columns})
                _tell(out, {"end": True})
            code = process.wait(SECONDS)
            if code:
                raise Refused(f"the snapshot could not be written (exit {code})", hint="is pyarrow installed?")
            for file in files.values():
                os.fchmod(file.fileno(), 0o444)  # whom the directory lets in
                os.fsync(file.fileno())
        return rows

    def _writer(self, uid: int, gid: int, fds: list[int]) -> "subprocess.Popen[bytes]":
        identity = [f"--as={uid}:{gid}"] if self._own_uid == 0 != uid else []
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "mlosd.exchange.snapshot", *identity],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=fds,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"},
        )

    def _replace(self, path: Path, new: Path) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            names = os.fsencode(new.name), os.fsencode(path.name)
            renameat2(*names, old_dirfd=directory, new_dirfd=directory, flags=RENAME_EXCHANGE if path.exists() else 0)
            os.fsync(directory)
        finally:
            os.close(directory)

    def _sweep(self) -> None:
        """Take away what a daemon that was killed left."""
        for left in self._directory.glob(f"{_NEW}*"):
            _remove(left)


def _let_in(directory: Path, uid: int, gid: int) -> None:
    """Let one user in, to look. Were it their own, it would be room without a quota in the memory of the machine."""
    look = 0o5
    entries = (
        Entry(Tag.USER_OBJ, look),
        Entry(Tag.USER, look, uid),
        Entry(Tag.GROUP_OBJ, 0),
        Entry(Tag.MASK, look),
        Entry(Tag.OTHER, 0),
    )
    try:
        posix_acl.write(directory, entries)
    except OSError as e:
        if e.errno != errno.EOPNOTSUPP:
            raise
        os.chown(directory, uid, gid)  # a file system without access lists


def _tell(out: IO[bytes], value: object) -> None:
    out.write(json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n")


def _remove(directory: Path) -> None:
    with suppress(FileNotFoundError):
        directory.chmod(0o700)
        shutil.rmtree(directory, ignore_errors=True)
