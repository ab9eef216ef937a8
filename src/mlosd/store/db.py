"""The database: one connection that writes, in groups; one that reads what is committed.

Owns the file, its lock, its schema and the durability of a write. Must not own: what the rows mean.

Every acknowledged write is on the disk: synchronous=FULL costs an fsync per commit, so everything that waits is
committed at once, in a thread that does nothing else. A SQLite that can lose a WAL on reset (3.7.0-3.51.2) is refused.
"""

import asyncio
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import apsw

from mlosd.core.errors import Refused, StoreRefused
from mlosd.kernel import mountinfo
from mlosd.store.schema import APPLICATION_ID, MIGRATIONS, Migration

T = TypeVar("T")

FIXED_SQLITE = (3, 51, 3)


class Database:
    """An open, locked, migrated database. `write` from the event loop, `read` from the thread that opened it."""

    def __init__(self, path: Path, *, migrations: Sequence[Migration] = MIGRATIONS, keep_backups: int = 3) -> None:
        """Open or make the database. Raises StoreRefused and leaves it untouched when it cannot be used."""
        _refuse_old_sqlite()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_network_filesystem(path.parent)
        self.path = path
        with ExitStack() as opened:
            opened.callback(os.close, _lock(path.with_suffix(".lock")))
            try:
                _refuse_foreign(path, known=migrations[-1].version)
                self._writer = apsw.Connection(os.fspath(path))
                opened.callback(self._writer.close)
                self._writer.set_busy_timeout(5000)
                self.schema = _migrate(self._writer, path, migrations, keep_backups)
                self._reader = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)
                opened.callback(self._reader.close)
            except apsw.Error as e:
                raise _refused(path, e) from e
            self._opened = opened.pop_all()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mlosd-store")
        self._waiting: deque[_Write] = deque()
        self._writing: asyncio.Task[None] | None = None

    def write(self, work: Callable[[apsw.Connection], T]) -> "asyncio.Future[T]":
        """Run `work`, a few statements, in a transaction of the writer; done when it is on the disk.

        The future raises Refused on a full disk; what `work` raises itself undoes only its own writes.
        """
        return self._queue(work, _Few)

    def write_many(self, work: Callable[[apsw.Connection], T]) -> "asyncio.Future[T]":
        """The same for work of many statements: a transaction of its own, away from the event loop."""
        return self._queue(work, _Many)

    def read(self, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query over what is committed."""
        return list(self._reader.execute(sql, tuple(bindings)))

    async def close(self) -> None:
        """Finish what is waiting, checkpoint, let go of the lock."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()
        self._opened.close()

    def _queue(self, work: Callable[[apsw.Connection], T], kind: "type[_Write]") -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(kind(work, future))
        if self._writing is None:
            self._writing = loop.create_task(self._write_all())
        return future

    async def _write_all(self) -> None:
        # Let what happens in this turn of the loop into the first group.
        await asyncio.sleep(0)
        while self._waiting:
            await self._commit(self._next_group())
        self._writing = None

    def _next_group(self) -> list["_Write"]:
        """All that waits, up to the next piece of large work, which goes by itself."""
        group = [self._waiting.popleft()]
        while isinstance(group[0], _Few) and self._waiting and isinstance(self._waiting[0], _Few):
            group.append(self._waiting.popleft())
        return group

    async def _commit(self, group: Sequence["_Write"]) -> None:
        """Make a group durable, or each of it that can be."""
        run = asyncio.get_running_loop().run_in_executor
        try:
            if isinstance(group[0], _Many):
                results = await run(self._thread, self._execute, group)
            else:
                # Statements here, the fsync there: a thread that ran them would fight us for the interpreter's lock.
                results = self._execute(group)
            await run(self._thread, self._writer.execute, "COMMIT")
        except Exception as e:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            if len(group) > 1:
                # One of them spoilt it for all: each by itself, then.
                for one in group:
                    await self._commit([one])
            elif not group[0].future.cancelled():
                group[0].future.set_exception(_refused_write(self.path, e) if isinstance(e, apsw.Error) else e)
            return
        for write, result in zip(group, results, strict=True):
            if not write.future.cancelled():
                write.future.set_result(result)

    def _execute(self, group: Sequence["_Write"]) -> list[Any]:
        self._writer.execute("BEGIN IMMEDIATE")
        return [write.work(self._writer) for write in group]


@dataclass(frozen=True, slots=True)
class _Write:
    """Work for the writer, and who waits for it."""

    work: Callable[[apsw.Connection], Any]
    future: asyncio.Future[Any]


class _Few(_Write):
    """A few statements: many of these share a commit."""

    __slots__ = ()


class _Many(_Write):
    """Many statements."""

    __slots__ = ()


def _refuse_old_sqlite() -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < FIXED_SQLITE:
        raise StoreRefused(
            f"SQLite {apsw.sqlite_lib_version()} can corrupt a write-ahead log",
            hint="install apsw >= 3.51.3, which brings its own SQLite",
        )


def _refuse_network_filesystem(directory: Path) -> None:
    mount = mountinfo.of(directory.resolve(), mountinfo.read())
    if mount is not None and mount.fstype in mountinfo.NETWORK:
        raise StoreRefused(
            f"{directory} is on a network file system ({mount.fstype}); SQLite's locks do not hold there",
            hint="put the state on a local disk: mlosd --root DIR",
        )


def _lock(path: Path) -> int:
    """Hold the lock of this state directory; the kernel drops it when we die."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise StoreRefused(f"{path}: {e.strerror}", hint="mlosd must be able to write its state directory") from e
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise StoreRefused(
            f"{path.parent} is in use by another mlosd (pid {holder})",
            hint="stop that one first, or choose another directory with --root",
        ) from e
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return fd


def _refuse_foreign(path: Path, *, known: int) -> None:
    """Look before touching: a read-only connection never checkpoints and never creates."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY) as peek:
        if peek.pragma("application_id") != APPLICATION_ID:
            raise StoreRefused(f"{path} is a database of another program", hint="choose another directory with --root")
        have = peek.pragma("user_version")
        if have <= known:
            return
        usable_since = next(peek.execute("SELECT usable_since FROM schema_info WHERE version = ?", (have,)))[0]
    if usable_since > known:
        raise StoreRefused(
            f"{path} has schema {have}, which needs a newer mlosd (this one knows {known})",
            hint="upgrade mlosd; nothing was changed",
        )


def _migrate(connection: apsw.Connection, path: Path, migrations: Sequence[Migration], keep_backups: int) -> int:
    """Bring the schema up to date in one transaction, after a copy. Returns the version of the database."""
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("foreign_keys", True)
    have: int = connection.pragma("user_version")
    want = migrations[-1].version
    if have >= want:
        return have
    if have:
        _back_up(connection, path, have, keep_backups)
    with connection:
        for migration in migrations[have:]:
            connection.execute(migration.sql())
            connection.execute(
                "INSERT INTO schema_info VALUES (?, ?, ?)", (migration.version, migration.usable_since, time.time())
            )
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", want)
    return want


def _back_up(connection: apsw.Connection, path: Path, version: int, keep: int) -> None:
    """A copy that sqlite3(1) can open, before anything changes."""
    copy = path.with_name(f"{path.stem}-schema{version}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.bak")
    connection.execute("VACUUM INTO ?", (os.fspath(copy),))
    copy.chmod(0o600)
    for old in sorted(path.parent.glob(f"{path.stem}-schema*.bak"), key=lambda file: file.stat().st_mtime)[:-keep]:
        old.unlink()


def _refused(path: Path, error: apsw.Error) -> StoreRefused:
    match error:
        case apsw.FullError():
            return StoreRefused(f"{path}: the disk is full", hint="free some space and start mlosd again")
        case apsw.NotADBError() | apsw.CorruptError():
            return StoreRefused(f"{path} is damaged: {error}", hint="restore the newest .bak file beside it")
        case _:
            return StoreRefused(f"{path}: {error}")


def _refused_write(path: Path, error: apsw.Error) -> Refused:
    if isinstance(error, apsw.FullError):
        return Refused(f"the disk that holds {path} is full", hint="free some space; nothing that was accepted is lost")
    return Refused(f"{path}: {error}", hint="see the daemon's log")
