"""A terminal of its own for a job in the foreground: a pty(7) pair, and ours in raw mode copying both ways."""

import contextlib
import os
import select
import termios
import time
import tty
from types import TracebackType

from mlosd.cli.stdio import POLLED, in_foreground

CHUNK = 65536
DRAIN_SECONDS = 0.5


class Terminal:
    """The job's terminal. Restores ours on every way out."""

    terminal = True

    def __init__(self) -> None:
        self._ours = termios.tcgetattr(0)
        self._begun = self._raw = False
        self._typed = b""
        self._open = True
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        termios.tcsetattr(self._slave, termios.TCSANOW, self._ours)
        self.fds = (self._slave, self._slave, self._slave if os.isatty(2) else 2)
        self.resized()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.suspend()
        os.close(self._master)
        self._close_slave()

    def begin(self) -> None:
        """Hand every key to the job from now on. Until then, and in the background, Ctrl-C is ours."""
        self._begun = True
        if not self._raw and in_foreground():
            tty.setraw(0, termios.TCSANOW)
            self._raw = True

    def suspend(self) -> None:
        """Give the terminal back as it was."""
        if self._raw:
            self._raw = False
            # The terminal may be gone, or not ours any more; then there is nothing to put back.
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, self._ours)

    def resized(self) -> None:
        """Give the job's terminal the size of ours; the kernel sends it SIGWINCH."""
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetwinsize(self._master, termios.tcgetwinsize(1))

    def interests(self) -> list[tuple[int, int]]:
        """Our keyboard, unless the job is slow to read it, and the job's output, once our terminal is ready for it."""
        if not self._begun:
            return []
        polled = [(self._master, select.POLLIN | (select.POLLOUT if self._typed else 0))]
        if self._raw and self._open and len(self._typed) < CHUNK:
            polled.append((0, select.POLLIN))
        return polled

    def ready(self, fd: int, events: int) -> None:
        """Copy what is there."""
        if fd == 0:
            self._read_keys()
        elif fd == self._master:
            if events & select.POLLOUT:
                self._write_keys()
            if events & POLLED:
                self._copy_output()

    def finish(self) -> None:
        """Copy what the job wrote last, to the end of it or until whoever still has the terminal open is silent."""
        self.begin()
        self._close_slave()
        deadline = time.monotonic() + DRAIN_SECONDS
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and poll.poll(left * 1000) and self._copy_output():
            pass

    def _close_slave(self) -> None:
        # Held until now: with the last slave closed, read(2) on the master is EIO, and poll(2) would never sleep.
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def _read_keys(self) -> None:
        try:
            keys = os.read(0, CHUNK)
        except OSError:
            keys = b""
        self._typed += keys
        self._open = bool(keys)
        self._write_keys()

    def _write_keys(self) -> None:
        with contextlib.suppress(OSError):
            self._typed = self._typed[os.write(self._master, self._typed) :]

    def _copy_output(self) -> bool:
        try:
            data = os.read(self._master, CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        _write_all(1, data)
        return bool(data)


def _write_all(fd: int, data: bytes) -> None:
    """Write all of it, also where another program has made the terminal non-blocking; a dead one takes nothing."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except OSError:
            return
