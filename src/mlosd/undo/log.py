"""The undo log: what was changed, written down before it is changed. Owns the file; must not own: the machine.

A line each: the header with the boot id, changes, and what is settled. Every line has a checksum and is on the disk
before anything it speaks of is done, so a line that was cut speaks of nothing that happened. The file is locked: there
is one writer. It lies in /run: after a restart of the machine there is nothing to undo, and a log that somehow
survived says by its boot id that it is not about this boot.
"""

import fcntl
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlosd.undo.change import Change, Malformed, Pending, as_record, decode, encode, of_record

FORMAT = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Busy(Exception):
    """Somebody else has the log open: the daemon, or another restorer."""


class UndoLog:
    """The log at `path`, made when something is first written to it."""

    def __init__(self, path: Path, *, boot: str | None = None) -> None:
        """Read it and take its lock. Raises Busy; OSError where it cannot be read."""
        self.path = path
        self.damaged = 0
        self._boot = boot if boot is not None else _BOOT_ID.read_text(encoding="ascii").strip()
        self._pending: dict[tuple[str, str], Pending] = {}
        self._seq = 0
        self._fd = -1
        if path.exists():
            self._open()
            self._read()

    def pending(self) -> list[Pending]:
        """What is not undone, oldest first."""
        return sorted(self._pending.values(), key=lambda pending: pending.seq)

    def find(self, key: tuple[str, str]) -> Pending | None:
        """What was done to one target, if anything is to be undone there."""
        return self._pending.get(key)

    def append(self, changes: Sequence[Change]) -> None:
        """Remember these changes, durably. Only after this may they be made."""
        self._write(as_record(change) for change in changes)
        for change in changes:
            self._take(change)

    def settle(self, keys: Iterable[tuple[str, str]]) -> None:
        """Nothing is to be undone there any more, durably."""
        known = [key for key in keys if key in self._pending]
        if known:
            self._write([{"settled": [list(key) for key in known]}])
            for key in known:
                del self._pending[key]

    def clear(self) -> None:
        """Remove the file, when nothing is pending."""
        if self._pending or self._fd < 0:
            return
        # Emptied first: whoever holds the lock next holds that of a file that is still there.
        os.ftruncate(self._fd, 0)
        self.path.unlink(missing_ok=True)
        self._close()

    def close(self) -> None:
        """Let go of the lock; the file stays."""
        self._close()

    def _open(self) -> None:
        created = not self.path.exists()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Busy(str(self.path)) from None
        self._fd = fd
        if created:
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _read(self) -> None:
        text = b""
        while piece := os.pread(self._fd, 1 << 20, len(text)):
            text += piece
        lines = text.splitlines(keepends=True)
        if not lines or not self._is_ours(lines[0]):
            os.ftruncate(self._fd, 0)
            return
        if not lines[-1].endswith(b"\n"):
            # Cut while it was written: what it speaks of was never done.
            os.ftruncate(self._fd, len(text) - len(lines.pop()))
        for line in lines[1:]:
            try:
                self._replay(decode(line))
            except Malformed:
                self.damaged += 1

    def _is_ours(self, header: bytes) -> bool:
        """Whether the log is of this boot. A header that was cut was the last thing that was done."""
        try:
            return decode(header).get("boot") == self._boot
        except Malformed:
            return False

    def _replay(self, record: dict[str, Any]) -> None:
        if "settled" in record:
            for kind, target in record["settled"]:
                self._pending.pop((kind, target), None)
        else:
            self._take(of_record(record))

    def _take(self, change: Change) -> None:
        self._seq += 1
        earlier = self._pending.get(change.key)
        if earlier is None:
            written: tuple[str | None, ...] = (change.after,)
            self._pending[change.key] = Pending(
                change.knob, change.kind, change.target, change.before, written, change.rank, self._seq
            )
        else:
            # What was there before us was said by the first record; `before` of this one is a value of ours.
            self._pending[change.key] = replace(earlier, written=(*earlier.written, change.after))

    def _write(self, records: Iterable[dict[str, Any]]) -> None:
        if self._fd < 0:
            self._open()
        data = b"".join(map(encode, records))
        if os.fstat(self._fd).st_size == 0:
            data = encode({"boot": self._boot, "format": FORMAT}) + data
        start = os.fstat(self._fd).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            os.fsync(self._fd)
        except OSError:
            # Half of a batch must not look like all of it.
            os.ftruncate(self._fd, start)
            raise

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
