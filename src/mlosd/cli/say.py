"""What mlosctl says to the person, on stderr: it never mixes with what a program reads from stdout."""

import contextlib
import os
import sys

from mlosd.cli import paint

NAME = "mlosctl"


def tell(text: str) -> None:
    """Say one line."""
    _write(f"{NAME}: {paint.visible(text)}")


def failed(message: str, hint: str | None = None) -> None:
    """Say what went wrong, and on the next line what to do about it."""
    _write(f"{NAME}: {paint.visible(message)}")
    if hint:
        _write(f" hint: {paint.visible(hint)}")


def _write(line: str) -> None:
    # "\r\n": the terminal may be in raw mode, with the cursor anywhere; harmless where it is not.
    # Nobody to hear it: the exit code still tells.
    with contextlib.suppress(OSError):
        sys.stderr.write(line + ("\r\n" if os.isatty(2) else "\n"))
        sys.stderr.flush()
