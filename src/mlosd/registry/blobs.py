"""The bytes of model versions: files named by the SHA-256 of their content, which nobody ever writes again.

Owns LIB/models. A file has its name only when it is whole and on the disk; the row that tells of it comes after. Must
not own: which bytes are worth keeping (retention.py).
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_INCOMING = ".incoming-"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that is being filled."""

    fd: int
    path: Path


class Blobs:
    """The directory of stored bytes. What is on the way to a row is held, so that nobody takes it for an orphan."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: Counter[bytes] = Counter()

    def open(self) -> None:
        """Make the directory; remove what a crash left half filled."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        for left in self._directory.glob(f"{_INCOMING}*"):
            left.unlink()

    def room(self) -> int:
        """Bytes that still fit onto the disk, for anybody but root."""
        status = os.statvfs(self._directory)
        return status.f_bavail * status.f_frsize

    def incoming(self) -> Incoming:
        """A new file to fill. Raises OSError."""
        path = self._directory / f"{_INCOMING}{os.urandom(8).hex()}"
        return Incoming(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400), path)

    def drop(self, incoming: Incoming) -> None:
        """Let go of a file that was filled; it is removed unless it was settled."""
        os.close(incoming.fd)
        incoming.path.unlink(missing_ok=True)

    def settle(self, incoming: Incoming, digest: bytes) -> None:
        """Give a filled file its name, for good; the same bytes are stored once. Blocks until it is on the disk.

        The descriptor stays open; `drop` closes it, whatever became of the file.
        """
        target = self.path(digest)
        if target.exists():
            return
        os.fsync(incoming.fd)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        incoming.path.rename(target)
        _fsync(target.parent)
        _fsync(self._directory)

    def has(self, digest: bytes) -> bool:
        """Whether these bytes are there."""
        return self.path(digest).exists()

    def read(self, digest: bytes) -> int:
        """The stored bytes, as a descriptor. Raises FileNotFoundError."""
        return os.open(self.path(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def path(self, digest: bytes) -> Path:
        """Where these bytes are, or would be."""
        name = digest.hex()
        return self._directory / name[:2] / name

    def all(self) -> Iterator[bytes]:
        """The digests of everything that is there."""
        for file in self._directory.glob("[0-9a-f][0-9a-f]/*"):
            with suppress(ValueError):  # none of ours
                yield bytes.fromhex(file.name)

    def size(self, digest: bytes) -> int:
        """How many these bytes are; 0 when they are not there."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def remove(self, digest: bytes) -> int:
        """Remove these bytes; how many they were."""
        size = self.size(digest)
        self.path(digest).unlink(missing_ok=True)
        return size

    @contextmanager
    def holding(self, digest: bytes) -> Iterator[None]:
        """Until the row is written, nobody may take these bytes for an orphan."""
        self._held[digest] += 1
        try:
            yield
        finally:
            self._held[digest] -= 1
            if not self._held[digest]:
                del self._held[digest]

    def is_held(self, digest: bytes) -> bool:
        """Whether somebody is about to write a row of these bytes."""
        return digest in self._held


def _fsync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
