"""Just enough of netlink (netlink(7), userspace-api/netlink/intro) to ask the kernel and wait for its answer.

Undoing must work with nothing but the standard library. What ML mode makes by netlink is made by this module as well:
code that writes and code that undoes cannot disagree when they are one, and pyroute2 takes 0.2 s to import.
"""

import itertools
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

ROUTE, NETFILTER = 0, 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
EXCL, CREATE = 0x200, 0x400

_ERROR, _DONE = 2, 3
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR
_CAPPED, _ACK_TLVS = 0x100, 0x200
_ACK_TEXT = 1  # NLMSGERR_ATTR_MSG
_SOL_NETLINK, _EXT_ACK = 270, 11
_NESTED, _KIND = 0x8000, 0x3FFF  # NLA_F_NESTED, NLA_TYPE_MASK
_HEADER = struct.Struct("=IHHII")
_ROOM = 1 << 17
_ATTEMPTS = 5
SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Message:
    """What is asked: a message type of the family, its body, and flags besides REQUEST."""

    kind: int
    body: bytes
    flags: int = 0


class _Interrupted(Exception):
    """What was listed changed meanwhile."""


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute (struct nlattr), padded to four bytes."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nest(kind: int, *attributes: bytes) -> bytes:
    """An attribute of attributes."""
    return attr(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    return attr(kind, value.encode() + b"\0")


def be32(kind: int, value: int) -> bytes:
    """A number in network byte order, as nfnetlink has them."""
    return attr(kind, struct.pack(">i" if value < 0 else ">I", value))


def each(data: bytes) -> list[tuple[int, bytes]]:
    """The attributes in `data`, in order. What is cut off at the end is left out."""
    found = []
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if not 4 <= length <= len(data):
            break
        found.append((kind & _KIND, data[4:length]))
        data = data[length + -length % 4 :]
    return found


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by type."""
    return dict(each(data))


class Netlink:
    """A connection to one netlink family of the kernel. Owns a socket; use `with`."""

    def __init__(self, family: int) -> None:
        """Raises OSError where this kernel has no such family."""
        self._sequence = itertools.count(1)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        try:
            # The kernel says in words what was wrong (Linux 4.12).
            self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
            self._socket.settimeout(SECONDS)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise

    def ask(self, kind: int, body: bytes, *, flags: int = 0) -> list[bytes]:
        """One request; the bodies of the answers. Raises OSError with the kernel's words."""
        return self.send([Message(kind, body, flags | (0 if flags & DUMP == DUMP else ACK))])

    def send(self, messages: Sequence[Message]) -> list[bytes]:
        """Several requests as one datagram; the first error of any is raised.

        The last one that asks for an ACK, or for a DUMP, ends the wait: at least one must.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._send(messages)
            except _Interrupted:
                continue
        raise OSError("what the kernel lists changes all the time")

    def _send(self, messages: Sequence[Message]) -> list[bytes]:
        numbers = [next(self._sequence) & 0xFFFFFFFF for _ in messages]
        pairs = list(zip(numbers, messages, strict=True))
        self._socket.send(b"".join(pack(message, number) for number, message in pairs))
        last = max(number for number, message in pairs if message.flags & (ACK | DUMP))
        answers: list[bytes] = []
        failure: OSError | None = None
        whole = True
        while True:
            for kind, flags, number, body in unpack(self._socket.recv(_ROOM)):
                if number not in numbers:
                    continue
                whole = whole and not flags & _INTERRUPTED
                if kind not in (_ERROR, _DONE):
                    answers.append(body)
                    continue
                failure = failure or failure_of(kind, flags, body)
                # An error of the first may be all that comes: of a batch that was not even looked at.
                if number == last or (failure and number == numbers[0]):
                    if failure is not None:
                        raise failure
                    if not whole:
                        raise _Interrupted
                    return answers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()


def pack(message: Message, number: int) -> bytes:
    """A message with its header (struct nlmsghdr)."""
    size = _HEADER.size + len(message.body)
    return _HEADER.pack(size, message.kind, message.flags | REQUEST, number, 0) + message.body + bytes(-size % 4)


def unpack(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """The messages of a datagram: type, flags, sequence number, body."""
    found = []
    while len(data) >= _HEADER.size:
        size, kind, flags, number, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= size <= len(data):
            break
        found.append((kind, flags, number, data[_HEADER.size : size]))
        data = data[size + -size % 4 :]
    return found


def failure_of(kind: int, flags: int, body: bytes) -> OSError | None:
    """What an ACK or the end of a list says: nothing, or what went wrong (struct nlmsgerr)."""
    number = -int(struct.unpack_from("=i", body)[0]) if len(body) >= 4 else 0
    if number == 0:
        return None
    words = b""
    if kind == _ERROR and flags & _ACK_TLVS:
        # After the code comes the request, or its header only.
        echoed = 0 if flags & _CAPPED else struct.unpack_from("=I", body, 4)[0] - _HEADER.size
        words = attributes(body[4 + _HEADER.size + echoed + -echoed % 4 :]).get(_ACK_TEXT, b"")
    return OSError(number, words.rstrip(b"\0").decode(errors="replace") or os.strerror(number))
