"""What queued jobs print: one file per job, read from any place in it and followed as it grows."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path

from inotify_simple import INotify, flags

CHUNK = 64 * 1024
# A job can make its output as long as it likes, with no line in it: nobody else shall wait until the last are found.
TAIL_REACHES = 32 << 20
_WRITE = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Logs:
    """The output files below one directory. Only the daemon opens them; users read them through it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._followers: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, id_: int) -> Path:
        """Where the output of a job is."""
        return self.directory / f"{id_}.log"

    def create(self, ids: Iterable[int]) -> None:
        """An empty file for each of these jobs. A job that is accepted has a place to write to.

        Emptied, if a lost database had a job of this number: it may have been another user's.
        """
        for id_ in ids:
            os.close(os.open(f"{self.directory}/{id_}.log", os.O_CREAT | os.O_TRUNC | _WRITE, 0o600))

    def open(self, id_: int) -> int:
        """The descriptor for the job to write to. O_APPEND: stdout and stderr share the file."""
        return os.open(f"{self.directory}/{id_}.log", os.O_APPEND | _WRITE)

    def wake(self, id_: int) -> None:
        """The job has ended: let those who follow its output look again."""
        for follower in self._followers.get(id_, ()):
            follower.set()

    def remove(self, id_: int) -> None:
        """Forget a job's output."""
        self.path(id_).unlink(missing_ok=True)

    def read(self, id_: int, *, tail: int | None = None) -> "Reader | None":
        """The output from its beginning, or its last `tail` lines as far as TAIL_REACHES; None when there is none."""
        try:
            fd = os.open(self.path(id_), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        if tail is not None:
            os.lseek(fd, _last_lines(fd, tail), os.SEEK_SET)
        return Reader(fd)

    async def follow(self, id_: int, reader: "Reader", ended: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """What the reader finds now, and what comes until the job has `ended`: `wake` says when to look again."""
        grown = asyncio.Event()
        self._followers[id_].add(grown)
        try:
            async with aclosing(reader.follow(grown, ended)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._followers[id_].discard(grown)
            if not self._followers[id_]:
                del self._followers[id_]


class Reader:
    """One reader's place in one file. Owns the descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def rest(self) -> Iterator[bytes]:
        """From here to what is its end now: a job may write as fast as we read."""
        left = os.fstat(self._fd).st_size - os.lseek(self._fd, 0, os.SEEK_CUR)
        while left > 0 and (chunk := os.read(self._fd, min(CHUNK, left))):
            left -= len(chunk)
            yield chunk

    async def follow(self, grown: asyncio.Event, ended: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """Chunk after chunk, waiting for more until the job has `ended`. `grown` is set when there may be some."""
        loop = asyncio.get_running_loop()
        with INotify() as watch:
            # The file itself: its name may be gone.
            watch.add_watch(f"/proc/self/fd/{self._fd}", flags.MODIFY)

            def drain() -> None:
                watch.read(timeout=0)
                grown.set()

            loop.add_reader(watch.fileno(), drain)
            try:
                while True:
                    grown.clear()
                    over = ended()
                    while chunk := os.read(self._fd, CHUNK):
                        yield chunk
                    if over:
                        return
                    await grown.wait()
            finally:
                loop.remove_reader(watch.fileno())


def _last_lines(fd: int, count: int) -> int:
    """Where the last `count` lines begin, or the part of them that is not too far from the end."""
    end = position = os.fstat(fd).st_size
    if count <= 0:
        return end
    # The newline at the very end, if there is one, ends the last line: it is not between two.
    wanted = count + (end > 0 and os.pread(fd, 1, end - 1) == b"\n")
    furthest = max(0, end - TAIL_REACHES)
    while position > furthest:
        start = max(furthest, position - CHUNK)
        block = os.pread(fd, position - start, start)
        found = block.count(b"\n")
        if found >= wanted:
            return start + _nth_last_newline(block, wanted) + 1
        wanted -= found
        position = start
    return furthest


def _nth_last_newline(block: bytes, count: int) -> int:
    position = len(block)
    for _ in range(count):
        position = block.rindex(b"\n", 0, position)
    return position
