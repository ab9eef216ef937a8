"""Records in memory that nobody can change any more: a sealed memfd (memfd_create(2)) of a client.

Reading it never waits, whatever file servers do; the memory is the client's; and what was checked is what is read.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from typing import Any

from mlosd.core.errors import BadMessage, BadRequest
from mlosd.exchange import records
from mlosd.exchange.records import Record
from mlosd.wire import strict_json
from mlosd.wire.check import WrongValue

LARGEST = 4 << 30
LARGEST_RECORD = 16 << 20
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Sealed:
    """The records of one file. Owns the descriptor. Use as a context manager."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._bytes: mmap.mmap | None = None

    def __enter__(self) -> "Sealed":
        try:
            self._bytes = _map(self._fd)
        except BaseException:
            os.close(self._fd)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._bytes is not None:
            self._bytes.close()
        os.close(self._fd)

    def header(self) -> Record:
        """The first record. Raises BadRequest for a file that is not ours, of a newer version, or cut."""
        first = self._line(0)
        record = _record(first, 1) if first.startswith(b"{") else {}
        if record.get("kind") != "mlosd":
            raise BadRequest("this is not an export of mlosd", hint="its first line has the kind mlosd")
        if record["version"] > records.VERSION:
            raise BadRequest(
                f"the records are of version {record['version']}, this mlosd knows {records.VERSION}",
                hint="import them with a newer mlosd",
            )
        return record

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        """Every record after the header with the number of its line, each checked. The last says that it is whole."""
        found = self._mapped()
        found.seek(0)
        ended = number = 0
        for number, line in enumerate(iter(found.readline, b""), 1):
            if ended:
                raise BadRequest(f"line {number}: there is something after the end")
            record = _record(line, number)
            if record["kind"] == "end":
                ended = record["records"]
            elif number > 1:
                yield number, record
        if ended != number - 1 or not ended:
            raise BadRequest("the records end too early: the file was cut", hint="export once more")

    def _line(self, at: int) -> bytes:
        found = self._mapped()
        found.seek(at)
        return found.readline()

    def _mapped(self) -> mmap.mmap:
        assert self._bytes is not None
        return self._bytes


def _map(fd: int) -> mmap.mmap:
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as e:
        raise BadRequest("the records are not in a memfd", hint="use mlosctl import") from e
    if seals & _SEALS != _SEALS:
        raise BadRequest("the memfd with the records is not sealed", hint="F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW")
    size = os.fstat(fd).st_size
    if not 0 < size <= LARGEST:
        raise BadRequest(f"{size} bytes of records; 1 to {LARGEST >> 30} GiB can be taken at once")
    return mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)


def _record(line: bytes, number: int) -> Record:
    try:
        record: dict[str, Any] = strict_json.loads(line.rstrip(b"\n"), largest=LARGEST_RECORD)
        check = records.checks().get(str(record.get("kind")))
        if check is not None:
            check({name: value for name, value in record.items() if name != "kind"})
    except (BadMessage, WrongValue) as e:
        raise BadRequest(f"line {number}: {e}") from e
    if not isinstance(record.get("kind"), str):
        raise BadRequest(f"line {number}: a record has a kind")
    return record
