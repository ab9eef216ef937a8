"""How a reader of another tool's files tells what it found: records, and counts of what it could not take."""

import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import mlosd
from mlosd.core.errors import BadRequest
from mlosd.exchange import records
from mlosd.exchange.sealed import LARGEST

# What the importer refuses in a string: NUL, and half of a surrogate pair that does not stand for a byte.
_UNSOUND = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
_SUSPICIOUS = re.compile(r"\\u(?:0000|d[89a-f])")
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


class Telling:
    """Records on their way out. The header is written at once; `close` writes the end."""

    def __init__(self, file: IO[bytes], *, source: str, store: str) -> None:
        self._file = file
        self._count = self._size = 0
        self._left: Counter[str] = Counter()
        made_at, by = time.time(), f"mlosd {mlosd.__version__}"
        self.tell("mlosd", version=records.VERSION, source=source, made_at=made_at, by=by, store=store)

    def tell(self, kind: str, **fields: Any) -> None:
        """One record; a field that is None is left out."""
        record = {"kind": kind} | {name: value for name, value in fields.items() if value is not None}
        line = json.dumps(record, separators=(",", ":"), allow_nan=False)
        if _SUSPICIOUS.search(line):
            line = json.dumps(sound(record), separators=(",", ":"), allow_nan=False)
        self._size += len(line) + 1
        if self._size > LARGEST:
            raise BadRequest(f"it comes to more than the {LARGEST >> 30} GiB of records that can be taken at once")
        self._file.write(line.encode("ascii") + b"\n")
        self._count += 1

    def leave(self, reason: str, count: int = 1) -> None:
        """Something was not taken."""
        if count:
            self._left[reason] += count

    def close(self) -> None:
        """Say what was left, and that this is all."""
        for reason, count in self._left.items():
            self.tell("left", reason=reason, count=count)
        self.tell("end", records=self._count)
        self._file.flush()


def sound(value: Any) -> Any:
    """The value with strings that any JSON parser takes."""
    match value:
        case str():
            return _UNSOUND.sub("\ufffd", value)
        case dict():
            return {sound(key): sound(item) for key, item in value.items()}
        case list() | tuple():
            return [sound(item) for item in value]
        case _:
            return value


def printable(name: str, otherwise: str) -> str:
    """A name for people: one line of at most 100 letters."""
    return _NOT_PRINTABLE.sub(" ", name).strip()[:100] or otherwise


def request(
    *, name: str, argv: list[str], cwd: str = "/", environment: dict[str, str] | None = None
) -> dict[str, Any]:  # fmt: skip
    """What a run was asked for, as far as another tool knows."""
    return {"name": name, "argv": argv, "cwd": cwd, "environment": environment or {}}


def outcome(result: str, *, reason: str | None, started_at: float | None, ended_at: float) -> dict[str, Any]:
    """How a run ended, as far as another tool knows."""
    state = {"result": result, "reason": reason, "started_at": started_at, "ended_at": ended_at}
    return {"state": {name: value for name, value in state.items() if value is not None}}


def local_path(uri: str) -> str:
    """The path that a file: URI means; a path as it is; any other URI as it is, without what could be a password."""
    if uri.startswith("/"):
        return os.path.normpath(uri)
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return os.path.normpath(unquote(parts.path, errors="surrogateescape"))
    if "@" in parts.netloc:
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return parts.geturl()


def become_owner(path: Path) -> None:
    """Root reads another user's files as that user: parsers of other tools' files are no place for root's rights."""
    status = path.stat()
    if os.geteuid() == 0 != status.st_uid:
        os.setgroups([])
        os.setresgid(status.st_gid, status.st_gid, status.st_gid)
        os.setresuid(status.st_uid, status.st_uid, status.st_uid)


def progress(text: str) -> None:
    """Say on stderr, for whoever started this process, how far it is."""
    sys.stderr.write(json.dumps({"progress": text}) + "\n")
    sys.stderr.flush()
