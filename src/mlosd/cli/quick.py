"""`mlosctl run` without click, whose import takes longer than everything else that a short job costs.

Only what is plain is understood here; help, mistakes and every other verb are click's. Both read the same options
(request.py), and a test holds one to the other.
"""

from collections.abc import Callable

from mlosd.cli import request
from mlosd.core.errors import MlosError


class Plain:
    """A plain `mlosctl run`, taken apart."""

    __slots__ = ("argv", "asked", "where")

    def __init__(self, where: dict[str, str | int], asked: dict[str, str | int], argv: list[str]) -> None:
        self.where, self.asked, self.argv = where, asked, argv


def plain(argv: list[str]) -> Plain | None:
    """`argv` taken apart, or None where click must look at it."""
    try:
        before = request.take(argv, request.WHERE, ())
        if before is None or before[1][:1] != ["run"]:
            return None
        after = request.take(before[1][1:], request.OPTIONS, (request.STRICT, request.NO_TTY))
    except MlosError:
        return None
    if after is None or not after[1]:
        return None
    return Plain(before[0], *after)


def understood(argv: list[str]) -> Callable[[], int] | None:
    """The work that `argv` asks for, when it is a plain `run`."""
    words = plain(argv)
    return None if words is None else lambda: _run(words)


def _run(words: Plain) -> int:
    from mlosd.cli import foreground
    from mlosd.cli.reach import Address

    root, socket = (str(words.where[name]) if name in words.where else None for name in ("root", "socket"))
    no_tty = words.asked.pop("no_tty", None)
    asked = {name: bool(value) if name == "strict" else value for name, value in words.asked.items()}
    job = request.request(words.argv, asked)
    how = foreground.descriptors if no_tty else foreground.fitting
    return how(Address(socket=socket, root=root), job)
