"""Merkle manifests of directories that are one dataset: their nodes, by digest, and the versions that they are.

Nodes are named by the SHA-256 of what they contain: what two versions share is stored once, and a damaged node is
found when it is read.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import apsw

from mlosd.store.db import Database
from mlosd.store.versions import Seen, see

Get = Callable[[bytes], bytes]
Put = Callable[[bytes, bytes], None]


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A resource that is a whole directory, and its newest version. No root: nobody took inventory yet."""

    resource: str
    path: str
    filesystem: str
    handle_type: int
    handle: bytes
    root: bytes | None
    size: int
    seen_at: float
    header: str | None


class Manifests:
    """The nodes of manifests, and the datasets that have them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, digest: bytes) -> bytes:
        """The content of a node. Raises LookupError when it is missing or damaged."""
        return _checked(digest, self._database.read("SELECT content FROM manifest_node WHERE digest = ?", (digest,)))

    def put(self, contents: Iterable[bytes]) -> "asyncio.Future[None]":
        """Store nodes of a manifest that no version has yet."""
        some = [(hashlib.sha256(content).digest(), content) for content in contents]

        def work(connection: apsw.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO manifest_node (digest, content) VALUES (?,?)", some)

        return self._database.write_many(work)

    def record(self, make: Callable[[Get, Put], Seen], *, at: float) -> "asyncio.Future[int]":
        """Note a dataset as it is now; the number of its version. `make` reads and writes nodes in the transaction."""

        def work(connection: apsw.Connection) -> int:
            def get(digest: bytes) -> bytes:
                return _checked(
                    digest, list(connection.execute("SELECT content FROM manifest_node WHERE digest = ?", (digest,)))
                )

            def put(digest: bytes, content: bytes) -> None:
                connection.execute(
                    "INSERT OR REPLACE INTO manifest_node (digest, content) VALUES (?,?)", (digest, content)
                )

            seen = make(get, put)
            _complete(connection, seen)
            return see(connection, seen, run=None, at=at)

        return self._database.write_many(work)

    def last(self, project: str, path: str) -> bytes | None:
        """The manifest that a directory had, also one that is gone."""
        rows = self._database.read(
            "SELECT v.manifest FROM version v JOIN resource r ON r.id = v.resource"
            " WHERE r.project = ? AND r.path = CAST(? AS TEXT) ORDER BY v.number DESC LIMIT 1",
            (project, os.fsencode(path)),
        )
        return rows[0][0] if rows else None

    def datasets(self, project: str) -> list[DatasetRow]:
        """The directories of a project that are one dataset each and still there, by path."""
        rows = self._database.read(
            "SELECT r.id, CAST(r.path AS BLOB), o.filesystem, o.handle_type, o.handle,"
            " v.manifest, v.size, v.seen_at, v.header FROM resource r"
            " JOIN binding b ON b.resource = r.id AND b.valid_to IS NULL JOIN object o ON o.id = b.object"
            " JOIN version v ON v.number = (SELECT max(number) FROM version WHERE resource = r.id)"
            " WHERE r.project = ? AND v.format = 'directory'"
            " ORDER BY r.path",
            (project,),
        )
        return [DatasetRow(id_, os.fsdecode(path), *rest) for id_, path, *rest in rows]


def _complete(connection: apsw.Connection, seen: Seen) -> None:
    """The version that a directory has had since before anybody knew its content is this one."""
    connection.execute(
        "UPDATE version SET digest = ?1, manifest = ?1, size = ?2, mtime_ns = ?3, ctime_ns = ?4, header = ?5"
        " WHERE digest IS NULL AND number = (SELECT max(v.number) FROM version v JOIN resource r ON r.id = v.resource"
        " WHERE r.project = ?6 AND r.path = CAST(?7 AS TEXT)) AND format = 'directory'",
        (
            seen.manifest,
            seen.size,
            seen.mtime_ns,
            seen.ctime_ns,
            seen.header,
            seen.project,
            os.fsencode(seen.path),
        ),
    )


def _checked(digest: bytes, rows: list[tuple[bytes, ...]]) -> bytes:
    if not rows:
        raise LookupError(f"node {digest.hex()} of a manifest is missing")
    content = rows[0][0]
    if hashlib.sha256(content).digest() != digest:
        raise LookupError(f"node {digest.hex()} of a manifest is damaged")
    return content
