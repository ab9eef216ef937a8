"""What queued jobs print: one file per job, read from any place in it and followed as it grows."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from inotify_simple import INotify, flags

CHUNK = 64 * 1024


class Logs:
    """The output files below one directory. Only the daemon opens them; users read them through it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, id_: int) -> Path:
        """Where the output of a job is."""
        return self.directory / f"{id_}.log"

    def create(self, ids: Iterable[int]) -> None:
        """An empty file for each of these jobs. A job that is accepted has a place to write to."""
        for id_ in ids:
            os.close(os.open(f"{self.directory}/{id_}.log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def open(self, id_: int) -> int:
        """The descriptor for the job to write to. O_APPEND: stdout and stderr share the file."""
        return os.open(f"{self.directory}/{id_}.log", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def wake(self, id_: int) -> None:
        """The job has ended: let those who follow its output look again (IN_ATTRIB)."""
        with contextlib.suppress(OSError):
            os.utime(self.path(id_))

    def remove(self, id_: int) -> None:
        """Forget a job's output."""
        self.path(id_).unlink(missing_ok=True)

    def read(self, id_: int, *, tail: int | None = None) -> "Reader | None":
        """The output from its beginning, or its last `tail` lines; None when there is none."""
        try:
            fd = os.open(self.path(id_), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if tail is not None:
            os.lseek(fd, _last_lines(fd, tail), os.SEEK_SET)
        return Reader(fd, self.path(id_))


class Reader:
    """One reader's place in one file. Owns the descriptor."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def chunk(self) -> bytes:
        """What comes next, at most CHUNK bytes; empty at the end of what is there."""
        return os.read(self._fd, CHUNK)

    async def follow(self, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Chunk after chunk, waiting for more until the job has `ended`."""
        loop = asyncio.get_running_loop()
        grown = asyncio.Event()
        with INotify() as watch:
            watch.add_watch(self._path, flags.MODIFY | flags.ATTRIB)

            def drain() -> None:
                watch.read(timeout=0)
                grown.set()

            loop.add_reader(watch.fileno(), drain)
            try:
                while True:
                    grown.clear()
                    over = ended()
                    while chunk := self.chunk():
                        yield chunk
                    if over:
                        return
                    await grown.wait()
            finally:
                loop.remove_reader(watch.fileno())


def _last_lines(fd: int, count: int) -> int:
    """Where the last `count` lines begin."""
    end = os.fstat(fd).st_size
    newlines, position = 0, end
    while position > 0:
        start = max(0, position - CHUNK)
        block = os.pread(fd, position - start, start)
        for offset in range(len(block) - 1, -1, -1):
            if block[offset] == 0x0A and start + offset != end - 1:
                newlines += 1
                if newlines == count:
                    return start + offset + 1
        position = start
    return 0 if count else end
