"""Services on the system bus, other than PID 1: logind, power-profiles-daemon. The client is dbus-fast.

A connection is a name on the bus, and services tie what they do for us to it: it ends when the connection does.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbus_fast import BusType, Message, MessageFlag, MessageType
from dbus_fast.aio.message_bus import MessageBus

from mlosd.undo.dbus import DBusError

_BUS = "org.freedesktop.DBus"
_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered. Descriptors in `values` are indexes into `fds`, which are the caller's to close."""

    values: Sequence[Any]
    fds: Sequence[int]


class SystemBus:
    """A connection. Owns it; it may be lost, and is then not made again: what was tied to it is lost, too."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    @classmethod
    async def connect(cls, address: str | None = None) -> "SystemBus":
        """Raises OSError, TimeoutError being one. `address`: of another bus than the system's."""
        bus = MessageBus(bus_address=address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
        try:
            async with asyncio.timeout(_SECONDS):
                await bus.connect()
        except EOFError as e:
            raise ConnectionError(f"the system bus: {e or 'it hung up'}") from e
        return cls(bus)

    def close(self) -> None:
        """Everything that was tied to the connection ends."""
        self._bus.disconnect()

    async def has_owner(self, name: str) -> bool:
        """Whether somebody has this name now. Starts nobody."""
        reply = await self.call(_BUS, "/org/freedesktop/DBus", _BUS, "NameHasOwner", "s", name)
        return bool(reply.values[0])

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> Reply:
        """Ask who is there: nobody is started for it. Raises DBusError, and OSError where the connection ended."""
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            flags=MessageFlag.NO_AUTOSTART,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                reply = await self._bus.call(message)
        except EOFError as e:
            raise ConnectionError("the connection to the system bus ended") from e
        if reply is None:
            raise ConnectionError("the connection to the system bus ended")
        if reply.message_type is MessageType.ERROR:
            for fd in reply.unix_fds:
                os.close(fd)
            raise DBusError(reply.error_name or "", str(reply.body[0]) if reply.body else "")
        return Reply(tuple(reply.body), tuple(reply.unix_fds))
