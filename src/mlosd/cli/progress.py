"""A line on the terminal that says what is being waited for, redrawn while the program is busy waiting."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlosd.cli import paint, printing, table
from mlosd.cli.quantity import show_duration, show_size

FRAMES = "|/-\\"
PERIOD = 0.2
CLEAR_LINE = "\r\x1b[K"
BAR = 24


@contextmanager
def waiting(text: Callable[[], str]) -> Iterator[None]:
    """Show `text()` and the time it has taken, on stderr if that is a terminal, until the with-block ends."""
    if not paint.wanted(sys.stderr):
        yield
        return
    began = time.monotonic()

    # A timer signal, not a thread: Python runs the handler between two tries of the read that waits (PEP 475).
    def draw(*_: object) -> None:
        seconds = time.monotonic() - began
        frame = FRAMES[int(seconds / PERIOD) % len(FRAMES)]
        line = table.cut(
            f"{frame} {paint.visible(text())}  {show_duration(int(seconds))}", printing.terminal_width() - 1
        )
        sys.stderr.write(CLEAR_LINE + line)
        sys.stderr.flush()

    before = signal.signal(signal.SIGALRM, draw)
    signal.setitimer(signal.ITIMER_REAL, PERIOD, PERIOD)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.stderr.write(CLEAR_LINE)
        sys.stderr.flush()


def bar(done: int, total: int) -> str:
    """How much of some bytes is done, as a bar and in words."""
    filled = BAR * done // total if total else 0
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {show_size(done)} of {show_size(total)}"


def counted(done: int, total: int, what: str) -> str:
    """The same for things that are counted."""
    filled = min(BAR, BAR * done // total) if total else 0
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {done:,} of {total:,} {what}"
