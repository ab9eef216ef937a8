"""A job's states until it is done, also across a restart of the daemon."""

import collections
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from mlosd.cli.outcome import DONE
from mlosd.cli.reach import Address
from mlosd.core.errors import Unreachable

RETRY_SECONDS = 0.5
PATIENCE_SECONDS = 60.0

Reply = dict[str, Any]


class Lost:
    """The daemon went away while the job went on."""

    __slots__ = ("job",)

    def __init__(self, job: int) -> None:
        self.job = job


def states(
    address: Address, first: Callable[[], Iterator[Reply]], *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Reply | Lost]:
    """The replies of `first`, each with the job; then, when the connection breaks, of Wait, until the job is DONE."""
    job: int | None = None
    replies = first
    while True:
        try:
            for reply in replies():
                job = reply["job"]["id"]
                yield reply
                if reply["job"]["state"] == DONE:
                    return
        except Unreachable:
            if job is None:
                raise
        if job is None:
            raise Unreachable("the daemon hung up before it took the job", hint="its log says why")
        yield Lost(job)
        replies = _again(address, job, sleep)


def _again(address: Address, job: int, sleep: Callable[[float], None]) -> Callable[[], Iterator[Reply]]:
    for _ in range(round(PATIENCE_SECONDS / RETRY_SECONDS)):
        sleep(RETRY_SECONDS)
        try:
            connection = address.connect()
        except Unreachable:
            continue
        return lambda: connection.stream("io.mlosd.Jobs.Wait", {"id": job})
    raise Unreachable(
        f"the daemon has been away for {PATIENCE_SECONDS:.0f} seconds; job {job} goes on without it",
        hint=f"when it is back: mlosctl job wait {job}",
    )


class Follower:
    """Reads an iterator in a thread of its own; what it yields, and the error that ends it, make `fd` readable."""

    def __init__(self, source: Iterator[Reply | Lost]) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._source = source
        self._come: collections.deque[Reply | Lost | BaseException] = collections.deque()
        threading.Thread(target=self._read, daemon=True).start()

    def take(self) -> list[Reply | Lost]:
        """What has come since last time. Raises the error that ended it."""
        os.eventfd_read(self.fd)
        come: list[Reply | Lost] = []
        while self._come:
            item = self._come.popleft()
            if isinstance(item, BaseException):
                if come:
                    self._put(item)
                    break
                raise item
            come.append(item)
        return come

    def _read(self) -> None:
        try:
            for item in self._source:
                self._put(item)
        except BaseException as error:
            self._put(error)

    def _put(self, item: Reply | Lost | BaseException) -> None:
        self._come.append(item)
        os.eventfd_write(self.fd, 1)
