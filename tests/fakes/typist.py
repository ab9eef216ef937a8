"""A person at a terminal: a pseudo terminal, what is typed on it, and what is seen."""

import os
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SIZE = (37, 91)
PATIENCE = 10.0


class Typist:
    """A person at a terminal, who has typed `mlosctl ...`."""

    def __init__(self, socket: Path, *argv: str, stderr: int | None = None, shell: Sequence[str] = ()) -> None:
        self.master, self.slave = os.openpty()
        termios.tcsetwinsize(self.master, SIZE)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [
                "setsid",
                "--ctty",
                *shell,
                sys.executable,
                "-m",
                "mlosd.cli.main",
                "--socket",
                os.fspath(socket),
                *argv,
            ],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave if stderr is None else stderr,
        )

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.master, text.encode())

    def sees(self, text: str) -> bool:
        """Wait for `text` on the screen."""
        deadline = time.monotonic() + PATIENCE
        while text.encode() not in self.seen and (left := deadline - time.monotonic()) > 0:
            if select.select([self.master], [], [], min(left, 0.1))[0]:
                self.seen += os.read(self.master, 65536)
        return text.encode() in self.seen

    def ends(self) -> int:
        """Wait for the prompt; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.process.wait(timeout=0.1)

    def is_as_before(self) -> bool:
        """Whether the terminal is."""
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        """Leave."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def until(true: Callable[[], object]) -> bool:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(true())
