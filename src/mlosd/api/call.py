"""What a method is told about the call beside its parameters."""

import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from mlosd.api.caller import Caller
from mlosd.core.errors import BadRequest
from mlosd.kernel.passed_fds import close_passed


class CallContext:
    """One call in progress. Owns the descriptors that came with it until a method takes them."""

    __slots__ = ("_fds", "_taken", "hung_up", "method", "more")

    def __init__(self, method: str, *, more: bool, fds: Iterable[int] = ()) -> None:
        self.method = method
        self.more = more
        self.hung_up = False
        """The client is gone. When a stream is closed, this tells it from a daemon that stops."""
        self._fds = list(fds)
        self._taken: set[int] = set()

    @property
    def fds_held(self) -> int:
        """How many descriptors nobody took yet."""
        return len(self._fds) - len(self._taken)

    def take_fds(self, *indexes: int) -> list[int]:
        """The descriptors that came at these places, close-on-exec; from now on the caller's to close.

        Naming a place twice gives two descriptors of the same file. All or, with BadRequest, none.
        """
        for index in indexes:
            if not 0 <= index < len(self._fds) or index in self._taken:
                raise BadRequest(
                    f"the message came with {len(self._fds)} file descriptors, and there is none at {index}",
                    hint="pass them with SCM_RIGHTS, in the sendmsg(2) of the message itself",
                )
        taken: list[int] = []
        try:
            for index in indexes:
                fd = self._fds[index]
                taken.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0) if index in self._taken else fd)
                self._taken.add(index)
        except OSError:
            self._taken.difference_update(indexes)
            for fd in taken:
                if fd not in self._fds:
                    os.close(fd)
            raise
        return taken

    def close(self) -> None:
        """Close what nobody took."""
        close_passed([fd for index, fd in enumerate(self._fds) if index not in self._taken])
        self._fds.clear()
        self._taken.clear()


Handler = Callable[[Caller, dict[str, Any], CallContext], Awaitable[dict[str, Any]] | AsyncIterator[dict[str, Any]]]
"""A method. Either of two kinds:

`async def` returning its reply: it runs to its end even when the client is gone, because what it does must be done
whole. Keep it short.

Async generator, yielding a reply at a time: as soon as the client hangs up, or the daemon stops, CancelledError is
raised in it where it waits (`hung_up` tells which), and it is paused while the client does not read. Called without
"more", it is closed after its first reply, which is the only one. It begins when the calls before it on the same
connection are answered.
"""
