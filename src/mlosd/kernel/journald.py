"""The journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram of fields per event.

Where no journal listens (containers, CI), the event becomes one line of JSON on standard error. An event is never
worth a failure: what cannot be logged is dropped, and counted.
"""

import errno
import fcntl
import json
import os
import re
import socket
import struct
import sys
import time
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from mlosd.core.events import Event

SOCKET = Path("/run/systemd/journal/socket")
_IDENTIFIER = "mlosd"
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)


def serialize(fields: Mapping[str, str]) -> bytes:
    """The fields as the journal wants them. A value of several lines is preceded by its length (64 bit, little endian).

    Raises ValueError for a name that the journal would silently drop.
    """
    out = bytearray()
    for name, value in fields.items():
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a journal field")
        data = value.encode("utf-8", "surrogateescape")
        if b"\n" in data:
            out += name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        else:
            out += name.encode() + b"=" + data + b"\n"
    return bytes(out)


def fields_of(event: Event) -> dict[str, str]:
    """The fields of an event: its own, and those that every journal reader knows (systemd.journal-fields(7))."""
    return {
        "MESSAGE": event.text(),
        "MESSAGE_ID": event.MESSAGE_ID,
        "PRIORITY": str(event.PRIORITY),
        "SYSLOG_IDENTIFIER": _IDENTIFIER,
        "MLOSD_EVENT": type(event).__name__,
        **event.logged(),
    }


class Journal:
    """A connection to the journal. Owns its socket; survives a restart of journald, which keeps its socket."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # A journal that does not read must not stop the daemon.
        self._socket.setblocking(False)
        self.dropped = 0

    def __call__(self, event: Event) -> None:
        """Log the event."""
        data = serialize(fields_of(event))
        try:
            self._send(data)
        except OSError:
            self.dropped += 1

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._send_memfd(data)

    def _send_memfd(self, data: bytes) -> None:
        """A message larger than a datagram is handed over as a sealed memory file."""
        fd = os.memfd_create("mlosd-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            self._socket.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))], 0, self._path)
        finally:
            os.close(fd)


class JsonLines:
    """Events as lines of JSON, for machines without a journal."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock
        self.dropped = 0

    def __call__(self, event: Event) -> None:
        """Log the event."""
        line = json.dumps({"at": round(self._clock(), 6), **fields_of(event)}, ensure_ascii=False)
        try:
            print(line, file=self._stream or sys.stderr, flush=True)
        except (OSError, ValueError):  # nobody reads, or the stream is closed
            self.dropped += 1

    def close(self) -> None:
        """Nothing is held."""


def open_log(path: Path = SOCKET) -> Journal | JsonLines:
    """The journal where it listens, else lines on standard error."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        probe.connect(str(path))
    except OSError:
        return JsonLines()
    finally:
        probe.close()
    return Journal(path)
