"""Everything that somebody owns, as records, in batches: one commit's state, never all of it in memory."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import mlosd
from mlosd.exchange import records
from mlosd.exchange.records import KINDS, Kind, Record
from mlosd.store.snapshot import TableSnapshot

Children = Callable[[bytes], Iterable[bytes]]
"""The digests of the nodes below a node of a manifest, by its content."""

_PORTION = 256 << 10
_SECRETS_HIDDEN: dict[str, str] = {}


def total(snapshot: TableSnapshot) -> int:
    """How many records there will be."""
    return sum(snapshot.count(kind.table) for kind in KINDS.values()) + 2


def gather_nodes(snapshot: TableSnapshot, children: Children) -> None:
    """Put every node of the manifests in scope into scope."""
    waiting = list(snapshot.manifests())
    while waiting:
        digest = waiting.pop()
        if snapshot.with_node(digest) and (content := snapshot.node(digest)) is not None:
            waiting.extend(children(content))


def batches(snapshot: TableSnapshot, may_see_environment: Callable[[int], bool]) -> Iterator[list[Record]]:
    """All records in scope, the header first, the end last."""
    yield [header(snapshot)]
    told = 1
    for kind in KINDS.values():
        for rows in snapshot.rows(kind.table, selected(kind)):
            for portion in _portions(rows):
                some = [records.encode(kind, row) for row in portion]
                if kind.name == "run":
                    some = [_without_secrets(run, may_see_environment) for run in some]
                told += len(some)
                yield some
    yield [{"kind": "end", "records": told}]


def header(snapshot: TableSnapshot) -> Record:
    """The first record."""
    return {
        "kind": "mlosd",
        "version": records.VERSION,
        "source": "mlosd",
        "made_at": time.time(),
        "by": f"mlosd {mlosd.__version__}",
        "store": records.store_name(first_migration=snapshot.first_migration()),
    }


def selected(kind: Kind) -> list[str]:
    """The columns of a kind as the database is asked for them: paths are bytes, whatever SQLite thinks."""
    return [f"CAST({name} AS BLOB)" if encoding == "path" else name for name, encoding in kind.columns.items()]


def _portions(rows: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in pieces that fit into a reply: the facts of a run, or a node of a manifest, may be large."""
    size, portion = 0, list[tuple[Any, ...]]()
    for row in rows:
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size > _PORTION and portion:
            yield portion
            size, portion = 0, []
        portion.append(row)
    yield portion


def _without_secrets(run: Record, may_see_environment: Callable[[int], bool]) -> Record:
    """An operator sees others' jobs, but not their environments, where tokens and passwords are."""
    if may_see_environment(run["uid"]):
        return run
    return run | {"request": run["request"] | {"environment": _SECRETS_HIDDEN}}
