"""Asks the sandboxed workers what is in a file. Owns the workers, no descriptor of anybody's.

The daemon itself never reads a byte of what users wrote, and never waits: a file server that is dead, a header made to
exhaust its reader, a disk that is slow all cost one worker, and raise ContentUnreadable.
"""

import os
from collections.abc import Iterator, Sequence

from mlosd.content import messages
from mlosd.content.identity import Content, ContentUnreadable, Identity
from mlosd.content.lane import Lane
from mlosd.content.messages import Answer
from mlosd.content.sandbox import Layer, Pace
from mlosd.core.own_thread import in_own_thread

_IDLE_SECONDS = 5.0
_STALL_SECONDS = 60.0

LONG = 1 << 30
"""Bytes that take seconds to read: anybody can make longer files in an instant, sparse ones, to hold up others."""


class Reader:
    """Four lanes: no question of one kind waits behind those of another, and no file behind a long one.

    Descriptors stay the caller's: they are used until the call returns or is cancelled.
    """

    def __init__(self, *, idle_seconds: float = _IDLE_SECONDS, stall_seconds: float = _STALL_SECONDS) -> None:
        """`stall_seconds`: a worker that shows no progress for so long is ended."""
        self._prompt, self._capture, self._bulk, self._long = (
            Lane(pace, idle_seconds=idle_seconds, stall_seconds=stall_seconds)
            for pace in (Pace.PROMPT, Pace.CAPTURE, Pace.BULK, Pace.BULK)
        )

    @property
    def layers(self) -> tuple[Layer, ...] | None:
        """How the worker that was started last in the first lane confined itself; None: there was none yet."""
        return self._prompt.layers or self._bulk.layers or self._capture.layers

    async def identify(self, fd: int, *, name: bytes) -> Identity:
        """What the file is, from its first and last bytes and its header. Raises ContentUnreadable."""
        [answer] = await self._prompt.ask("identify", [((fd,), name)])
        if isinstance(answer, Identity):
            return answer
        raise _refusal(answer)

    async def read(self, fd: int, *, name: bytes) -> Content:
        """What the file is, and its digest. Raises ContentUnreadable, also where it changed meanwhile."""
        [answer] = await self.read_many([(fd, name)])
        if isinstance(answer, Content):
            return answer
        raise answer

    async def read_many(self, files: Sequence[tuple[int, bytes]]) -> list[Content | ContentUnreadable]:
        """As `read`, for many files (descriptor, name), with one answer for each."""
        answers: list[Content | ContentUnreadable] = []
        sizes = await in_own_thread(lambda: [os.fstat(fd).st_size for fd, _ in files])
        for start, end in _batches(sizes):
            lane = self._long if sizes[start] > LONG else self._bulk
            for answer in await lane.ask("read", [((fd,), name) for fd, name in files[start:end]]):
                answers.append(answer if isinstance(answer, Content) else _refusal(answer))
        return answers

    async def copy(self, fd: int, to: int, *, name: bytes) -> Content:
        """Write all of it to the empty file `to`; digest and size are of what was written.

        Where the file system can, the two share their data, if `to` is open for reading too. fsync is the caller's.
        Raises NoSpace, ContentChanged, ContentUnreadable; `to` may have a part then.
        """
        [answer] = await self._capture.ask("copy", [((fd, to), name)])
        return _content(answer)

    async def close(self) -> None:
        """End the workers; questions that wait are answered with ContentUnreadable."""
        for lane in (self._prompt, self._capture, self._bulk, self._long):
            await lane.close()


def _batches(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """What is asked for at once: not so much that others would wait long for their turn, and each long file alone."""
    start, total = 0, 0
    for number, size in enumerate(sizes):
        total += size
        if number > start and (total > LONG or number - start == messages.MOST_FILES):
            yield start, number
            start, total = number, size
    if start < len(sizes):
        yield start, len(sizes)


def _content(answer: Answer) -> Content:
    if isinstance(answer, Content):
        return answer
    raise _refusal(answer)


def _refusal(answer: Answer) -> ContentUnreadable:
    return answer if isinstance(answer, ContentUnreadable) else ContentUnreadable("its reader broke")
