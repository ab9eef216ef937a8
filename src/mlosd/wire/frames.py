"""Cuts a stream of bytes into messages that end with NUL, each with the file descriptors that came with it."""

from collections.abc import Sequence
from typing import NamedTuple


class Frame(NamedTuple):
    """A message without its NUL. Whoever takes it owns the descriptors."""

    data: bytes
    fds: tuple[int, ...] = ()


class Frames:
    """What has been received and not yet made a whole message.

    The kernel ends a recvmsg(2) after the piece that carried descriptors (net/unix/af_unix.c,
    unix_stream_read_generic), so they belong to the last message that the received bytes touch. A sender
    must therefore send a message with descriptors in a sendmsg(2) of its own.
    """

    def __init__(self, *, largest: int) -> None:
        self._largest = largest
        self._bytes = bytearray()
        self._fds: list[int] = []
        self.oversized = False
        """A message was larger than allowed. Nothing after it is taken any more."""

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._bytes)

    @property
    def fds_held(self) -> int:
        """How many descriptors came with the message that has not ended."""
        return len(self._fds)

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> list[Frame]:
        """Take what one recvmsg(2) returned; the messages that are whole now."""
        *ends, rest = data.split(b"\0")
        frames: list[Frame] = []
        for position, end in enumerate(ends, start=1):
            if self._too_large(end):
                self._fds += fds
                return frames
            if not rest and position == len(ends):
                self._fds += fds
            frames.append(Frame(bytes(self._bytes) + end if self._bytes else end, tuple(self._fds)))
            self._bytes.clear()
            self._fds.clear()
        if rest or not ends:
            self._fds += fds
        if not self._too_large(rest):
            self._bytes += rest
        return frames

    def abandon(self) -> list[int]:
        """Forget what is not whole; the descriptors that came with it, for the caller to close."""
        fds, self._fds = self._fds, []
        self._bytes.clear()
        return fds

    def _too_large(self, more: bytes) -> bool:
        self.oversized = self.oversized or len(self._bytes) + len(more) > self._largest
        return self.oversized
