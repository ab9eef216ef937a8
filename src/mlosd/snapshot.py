"""Read a snapshot of mlosd's metadata table, without the daemon: Arrow tables, mapped into memory, nothing copied.

    import mlosd.snapshot

    with mlosd.snapshot.open("/run/mlosd/snapshots/1000") as snapshot:
        flights = snapshot.project("flights")
        print(flights.resources.num_rows, snapshot.table("edge").num_rows)

`mlosctl export --snapshot` writes one and prints its path. Paths, digests and handles are bytes: os.fsdecode() and
.hex() make them readable.
"""

import builtins
import errno
import mmap
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow
from pyarrow import ipc

from mlosd.core.errors import MlosError, NotFound, NotPermitted

TABLES = ("project", "resource", "version", "run", "lineage", "edge", "model", "model_version", "alias")

_SUFFIX = ".arrow"
_TRIES = 5
_HINT = "mlosctl export --snapshot writes one and prints its path"


class SnapshotDamaged(MlosError):
    """A file of a snapshot is not what mlosd wrote."""

    exit_code = os.EX_DATAERR


@dataclass(frozen=True, slots=True)
class Project:
    """A project: its row, and its resources as a slice of the resource table."""

    row: dict[str, Any]
    resources: pyarrow.Table


class Snapshot:
    """The tables of one commit. What was got from it stays good after `close`, and when mlosd writes a newer one."""

    def __init__(self, path: Path, maps: dict[str, mmap.mmap]) -> None:
        self.path = path
        self._maps = maps
        self._tables: dict[str, pyarrow.Table] = {}

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables that are there."""
        return tuple(self._maps)

    @property
    def sequence(self) -> str:
        """The commit that it has at least: EPOCH.COMMIT, equal only when nothing was committed in between."""
        return self._metadata("mlosd.sequence")

    @property
    def made_at(self) -> float:
        """When it was written, in seconds since the epoch."""
        return float(self._metadata("mlosd.made_at"))

    def table(self, name: str) -> pyarrow.Table:
        """A table, mapped. Raises NotFound, SnapshotDamaged."""
        known = self._tables.get(name)
        if known is None:
            if name not in self._maps:
                raise NotFound(f"a snapshot has no table {name!r}", hint=f"it has {', '.join(self._maps)}")
            known = self._tables[name] = self._read(name)
        return known

    def project(self, name_or_id: str) -> Project:
        """A project by its name or id, with its resources. Raises NotFound."""
        projects = self.table("project")
        for column in ("name", "id"):
            for index, value in enumerate(projects[column].to_pylist()):
                removed = projects["removed_at"][index].as_py()
                if value == name_or_id and (column == "id" or removed is None):
                    row = {field: projects[field][index].as_py() for field in projects.column_names}
                    first, count = row.pop("first_resource"), row.pop("resources")
                    return Project(row, self.table("resource").slice(first, count))
        raise NotFound(f"the snapshot has no project {name_or_id!r}", hint="mlosctl project list")

    def projects(self) -> Iterator[str]:
        """The names of all projects."""
        yield from self.table("project")["name"].to_pylist()

    def close(self) -> None:
        """Let go of the files. Tables that are still in use keep theirs."""
        self._tables.clear()
        self._maps = {}

    def _read(self, name: str) -> pyarrow.Table:
        try:
            return ipc.open_file(pyarrow.py_buffer(self._maps[name])).read_all()
        except (pyarrow.ArrowInvalid, OSError) as e:
            raise SnapshotDamaged(f"{self.path / name}{_SUFFIX}: {e}", hint=_HINT) from e

    def _metadata(self, key: str) -> str:
        found: bytes = (self.table("project").schema.metadata or {}).get(key.encode(), b"")
        return found.decode()


def open(path: str | os.PathLike[str]) -> Snapshot:  # noqa: A001 - as gzip.open, shelve.open
    """Map the snapshot in a directory. Raises NotFound, NotPermitted, SnapshotDamaged, each with what to do."""
    directory = Path(path)
    for left in reversed(range(_TRIES)):
        try:
            return Snapshot(directory, _map(directory))
        except FileNotFoundError as e:
            # A newer one has just taken its place, or there is none.
            if not left:
                raise NotFound(f"{directory} has no snapshot of mlosd", hint=_HINT) from e
            time.sleep(0.001)
        except PermissionError as e:
            raise NotPermitted(f"{directory} is not yours to read", hint="each user has a snapshot of their own") from e
        except NotADirectoryError as e:
            raise NotFound(f"{directory} is not a directory", hint=_HINT) from e
    raise AssertionError("the last try returns or raises")


def _map(directory: Path) -> dict[str, mmap.mmap]:
    """Every table's file, by way of one directory: all of the same snapshot."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return {name: _map_file(fd, f"{name}{_SUFFIX}", directory) for name in TABLES}
    finally:
        os.close(fd)


def _map_file(directory: int, name: str, path: Path) -> mmap.mmap:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with builtins.open(name, "rb", buffering=0, opener=lambda file, _: os.open(file, flags, dir_fd=directory)) as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as e:
            raise SnapshotDamaged(f"{path / name} is empty", hint=_HINT) from e
        except OSError as e:
            raise SnapshotDamaged(f"{path / name}: {os.strerror(e.errno or errno.EIO)}", hint=_HINT) from e
