"""`python -P -m mlosd.exchange.snapshot [--as=UID:GID]`: columns on standard input become Arrow IPC files.

A process of its own, so that the daemon never imports pyarrow; as the user whom the rows belong to, with the files as
descriptors and no right to open any. Lines of JSON: first what tables there are, then some rows of a table each.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow
from pyarrow import ipc

TYPES = {
    "text": pyarrow.string(),
    "path": pyarrow.binary(),
    "name": pyarrow.binary(),
    "bytes": pyarrow.binary(),
    "integer": pyarrow.int64(),
    "number": pyarrow.float64(),
}


class Table:
    """One table on its way into its file."""

    def __init__(self, fd: int, columns: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        self._columns = columns
        self._schema = pyarrow.schema([(name, TYPES[encoding]) for name, encoding in columns.items()], metadata)
        self._file = os.fdopen(fd, "wb")
        self._writer = ipc.new_file(self._file, self._schema)

    def add(self, columns: Mapping[str, list[Any]]) -> None:
        """Some rows."""
        arrays = [
            pyarrow.array([_READ[encoding](value) for value in columns[name]], TYPES[encoding])
            for name, encoding in self._columns.items()
        ]
        self._writer.write_batch(pyarrow.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer, without which it is no Arrow file."""
        self._writer.close()
        self._file.close()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode("latin-1")


def _text(value: str | None) -> str | None:
    # Arrow's strings are UTF-8; what is not is shown, not refused.
    return None if value is None else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _same(value: Any) -> Any:
    return value


_READ: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "path": _bytes,
    "name": _bytes,
    "bytes": _bytes,
    "integer": _same,
    "number": _same,
}


def main(arguments: list[str]) -> int:
    """Write the files. Exits with a sysexits(3) code."""
    for uid, gid in (map(int, one.removeprefix("--as=").split(":")) for one in arguments):
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    lines = iter(sys.stdin.buffer)
    begin = json.loads(next(lines))
    tables = {name: Table(t["fd"], t["columns"], begin["metadata"]) for name, t in begin["tables"].items()}
    for line in lines:
        some = json.loads(line)
        if some.get("end"):
            for table in tables.values():
                table.close()
            return os.EX_OK
        tables[some["table"]].add(some["columns"])
    return os.EX_DATAERR  # the daemon died


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
