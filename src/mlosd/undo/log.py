"""The undo log: what was changed, written down before it is changed. Owns the file; must not own: the machine.

A line each: the header with the boot id, changes, and what is settled. Every line has a checksum and is on the disk
before anything it speaks of is done, so a line that was cut speaks of nothing that happened. A line says all by itself
what was there before us, so one that is damaged takes no other with it. The file is locked: there is one writer. It
lies in /run: after a restart of the machine there is nothing to undo, and a log that somehow survived says by its boot
id that it is not about this boot.
"""

import contextlib
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


class OtherFormat(Exception):
    """Another mlosd wrote the log; to guess what it means would be to write wrong values."""


class UndoLog:
    """The log at `path`, made when something is first written to it. `damaged`: lines that could not be read."""

    def __init__(self, path: Path, *, boot: str | None = None) -> None:
        """Read it and take its lock. Raises Busy, OtherFormat; OSError where it cannot be read."""
        self.path = path
        self.damaged = 0
        self._boot = boot if boot is not None else _BOOT_ID.read_text(encoding="ascii").strip()
        self._pending: dict[tuple[str, str], Pending] = {}
        self._seq = 0
        self._fd = -1
        if path.exists():
            self._open()

    def pending(self) -> list[Pending]:
        """What is not undone, oldest first."""
        return sorted(self._pending.values(), key=lambda pending: pending.seq)

    def find(self, key: tuple[str, str]) -> Pending | None:
        """What was done to one target, if anything is to be undone there."""
        return self._pending.get(key)

    def append(self, changes: Sequence[Change]) -> None:
        """Remember these changes, durably. Only after this may they be made. Raises OSError: none is remembered."""
        if not changes:
            return
        if self._fd < 0:
            self._open()
        # What was there before us was said by the first change of a target; what a later one finds is a value of ours.
        before = {key: one.before for key, one in self._pending.items()}
        whole = [replace(change, before=before.setdefault(change.key, change.before)) for change in changes]
        self._write(map(as_record, whole))
        for change in whole:
            self._take(change)

    def settle(self, keys: Iterable[tuple[str, str]]) -> None:
        """Nothing is to be undone there any more."""
        known = [key for key in keys if self._pending.pop(key, None)]
        if known:
            # A full disk must not keep anything from being undone: what is undone twice is left as it is (rollback).
            with contextlib.suppress(OSError):
                self._write([{"settled": known}])

    def clear(self) -> None:
        """Remove the file, when nothing is pending."""
        if self._pending or self._fd < 0:
            return
        # Emptied first: where it cannot be removed, it says nothing.
        os.ftruncate(self._fd, 0)
        self.path.unlink(missing_ok=True)
        self.damaged = 0
        self._close()

    def close(self) -> None:
        """Let go of the lock; the file stays."""
        self._close()

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while self._fd < 0:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise Busy(str(self.path)) from None
            if os.fstat(fd).st_nlink:
                self._fd = fd
            else:  # removed by its last owner (`clear`) between our open and our lock
                os.close(fd)
        try:
            self._read()
        except BaseException:
            self._close()
            raise

    def _read(self) -> None:
        self._pending.clear()
        self.damaged = 0
        text = b""
        while piece := os.pread(self._fd, 1 << 20, len(text)):
            text += piece
        *lines, cut = text.split(b"\n")
        if not lines or not self._is_of_this_boot(lines[0] + b"\n"):
            os.ftruncate(self._fd, 0)
            return
        # A line without an end was cut while it was written: what it speaks of was never done.
        os.ftruncate(self._fd, len(text) - len(cut))
        for line in lines[1:]:
            try:
                self._replay(decode(line + b"\n", self._boot))
            except Malformed:
                self.damaged += 1

    def _is_of_this_boot(self, header: bytes) -> bool:
        try:
            record = decode(header)
        except Malformed:
            self.damaged += 1
            return True  # perhaps: the checksums of the lines tell
        if record.get("boot") != self._boot:
            return False
        if record.get("format") != FORMAT:
            raise OtherFormat(f"{self.path} is of another mlosd: format {record.get('format')}, not {FORMAT}")
        return True

    def _replay(self, record: dict[str, Any]) -> None:
        if "settled" in record:
            for kind, target in record["settled"]:
                self._pending.pop((kind, target), None)
        else:
            self._take(of_record(record))

    def _take(self, change: Change) -> None:
        self._seq += 1
        earlier = self._pending.get(change.key)
        if earlier and earlier.before == change.before:
            written = (*(value for value in earlier.written if value != change.after), change.after)
            self._pending[change.key] = replace(earlier, written=written)
        else:  # the first; or the line that settled the earlier one was damaged
            self._pending[change.key] = Pending(
                change.knob, change.kind, change.target, change.before, (change.after,), change.rank, self._seq
            )

    def _write(self, records: Iterable[dict[str, Any]]) -> None:
        data = b"".join(encode(record, self._boot) for record in records)
        start = os.fstat(self._fd).st_size
        if start == 0:
            data = encode({"boot": self._boot, "format": FORMAT}) + data
            self._sync_directory()
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            os.fsync(self._fd)
        except OSError:
            # Half of a batch must not look like all of it.
            os.ftruncate(self._fd, start)
            raise

    def _sync_directory(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
