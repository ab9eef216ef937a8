"""cgroup.events (admin-guide/cgroup-v2): is anybody in this cgroup, is it frozen, and waiting until that changes."""

import asyncio
import errno
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_PAGE = 4096
_FLAG = {"0": False, "1": True}


@dataclass(frozen=True, slots=True)
class Events:
    """cgroup.events. `frozen` is None on the root and before Linux 5.2."""

    populated: bool
    frozen: bool | None


def parse(text: str) -> Events:
    """The file's text. Raises ValueError when malformed."""
    try:
        values = dict(line.split() for line in text.splitlines())
        frozen = _FLAG[values["frozen"]] if "frozen" in values else None
        return Events(populated=_FLAG[values["populated"]], frozen=frozen)
    except (KeyError, ValueError) as e:
        raise ValueError(f"not cgroup.events: {text!r}") from e


class EventsWatch:
    """Waits for cgroup.events to change. Owns two fds; close it, or use `with`.

    The file itself is always readable for epoll; a change is EPOLLPRI (fs/kernfs/file.c, kernfs_generic_poll). An
    epoll fd that waits for EPOLLPRI alone is readable exactly then, and that is an fd that asyncio can wait for.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._epoll = select.epoll()
        try:
            self._epoll.register(fd, select.EPOLLPRI)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        return self._epoll.fileno()

    def read(self) -> Events:
        """The events as they are now. Arms the watch again: later changes make `fileno()` readable."""
        return parse(os.pread(self._fd, _PAGE, 0).decode("ascii"))

    def wait(self, wanted: Callable[[Events], bool], *, seconds: float) -> Events:
        """Block until `wanted`. Raises TimeoutError. ENODEV (the cgroup is gone) rises as OSError."""
        deadline = time.monotonic() + seconds
        while not wanted(events := self.read()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, f"cgroup.events still says {events}")
            self._epoll.poll(left)
        return events

    async def until(self, wanted: Callable[[Events], bool], *, seconds: float | None = None) -> Events:
        """`wait`, for asyncio. None: for as long as it takes."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        loop.add_reader(self.fileno(), changed.set)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    changed.clear()
                    if wanted(events := self.read()):
                        return events
                    await changed.wait()
        finally:
            loop.remove_reader(self.fileno())

    def close(self) -> None:
        self._epoll.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
