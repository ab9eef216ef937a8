"""What a job in the foreground reads and writes: these descriptors themselves."""

import os
import select
from types import TracebackType


def in_foreground() -> bool:
    """Whether the terminal's input is ours: a command started with & must leave it to the shell."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


class Descriptors:
    """Stdin, stdout and stderr as they are. The job writes to them directly; there is nothing to copy."""

    terminal = False

    def __init__(self) -> None:
        self._null: int | None = None
        stdin = 0
        if os.isatty(0) and not in_foreground():
            stdin = self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.fds = (stdin, 1, 2)

    def __enter__(self) -> "Descriptors":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._null is not None:
            os.close(self._null)

    def begin(self) -> None:
        """The job runs."""

    def suspend(self) -> None:
        """This process is about to stop."""

    def resized(self) -> None:
        """The terminal has another size."""

    def interests(self) -> list[tuple[int, int]]:
        """Descriptors to poll, with their events."""
        return []

    def ready(self, fd: int, events: int) -> None:
        """One of them is ready."""

    def finish(self) -> None:
        """The job is done; what it wrote last may still be on its way."""


POLLED = select.POLLIN | select.POLLHUP | select.POLLERR
