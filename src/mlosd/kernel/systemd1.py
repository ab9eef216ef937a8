"""org.freedesktop.systemd1(5): the D-Bus interface of PID 1. Only this module knows that the client is dbus-fast.

A connection may go away under us (the bus restarts) and so may PID 1 for a moment (`systemctl daemon-reexec`). Every
call connects anew and asks again for a while; so a call may be carried out twice, and the caller must expect, say,
`UnitExists` from a start that had worked.
"""

import asyncio
import string
from collections.abc import Mapping, Sequence
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_RETRY_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
# What the bus says while PID 1 executes itself anew, or when the bus itself goes down.
_PASSING = frozenset(
    f"org.freedesktop.DBus.Error.{name}"
    for name in ("NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected", "Timeout", "TimedOut")
)
UNIT_EXISTS = f"{_NAME}.UnitExists"
NO_SUCH_UNIT = f"{_NAME}.NoSuchUnit"

# D-Bus types of the properties that we set. `h` is a file descriptor: an index into the list passed along.
_TYPES = {
    "AllowedCPUs": "ay",
    "Before": "as",
    "CollectMode": "s",
    "DelegateControllers": "as",
    "Description": "s",
    "ExecStart": "a(sasb)",
    "IOWeight": "t",
    "KillMode": "s",
    "MemoryHigh": "t",
    "MemoryMax": "t",
    "OOMPolicy": "s",
    "OOMScoreAdjust": "i",
    "SendSIGHUP": "b",
    "Slice": "s",
    "StandardErrorFileDescriptor": "h",
    "StandardInputFileDescriptor": "h",
    "StandardOutputFileDescriptor": "h",
    "TimeoutStartUSec": "t",
    "TimeoutStopUSec": "t",
    "Type": "s",
}


class SystemdError(Exception):
    """PID 1 said no. `name` is the D-Bus error, e.g. org.freedesktop.systemd1.NoSuchUnit."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class Unreachable(SystemdError):
    """PID 1 could not be asked: no bus, or no answer for longer than a re-execution takes."""


def cpu_mask(cpus: Sequence[int]) -> bytes:
    """CPU numbers as the bit mask that AllowedCPUs= is on the bus."""
    mask = sum(1 << cpu for cpu in set(cpus))
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def unit_path(name: str) -> str:
    """The object that stands for a unit (sd_bus_path_encode(3))."""
    plain = string.ascii_letters + string.digits
    return f"{_PATH}/unit/" + "".join(
        chr(byte) if chr(byte) in plain and not (index == 0 and chr(byte).isdigit()) else f"_{byte:02x}"
        for index, byte in enumerate(name.encode())
    )


class Systemd:
    """A connection to PID 1. Owns the bus connection and who waits for which unit's job; must not own: any unit."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()
        self._jobs: dict[str, asyncio.Future[str]] = {}

    async def open(self) -> None:
        """Connect now, to know that it works. Raises Unreachable."""
        try:
            await self._connected()
        except (OSError, EOFError, TimeoutError) as error:
            raise Unreachable("org.freedesktop.DBus.Error.NoServer", str(error)) from error

    async def close(self) -> None:
        """Disconnect."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def start_transient_unit(
        self, name: str, properties: Mapping[str, Any], *, fds: Sequence[int] = ()
    ) -> asyncio.Future[str]:
        """Make and start a unit. The future holds how its start ended: "done", "failed", "timeout", ...

        The future may never be done if the bus is lost meanwhile: wait for something else, too.
        """
        started = self._expect_job(name)
        try:
            await self._call(
                _MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "fail", _variants(properties), [], fds=fds
            )
        except BaseException:
            started.cancel()
            raise
        return started

    async def stop_unit(self, name: str) -> asyncio.Future[str]:
        """Stop a unit. The future holds how that ended; see start_transient_unit()."""
        stopped = self._expect_job(name)
        try:
            await self._call(_MANAGER, "StopUnit", "ss", name, "replace")
        except BaseException:
            stopped.cancel()
            raise
        return stopped

    async def set_unit_properties(self, name: str, properties: Mapping[str, Any]) -> None:
        """Change resource limits of a unit until the next boot (runtime)."""
        await self._call(_MANAGER, "SetUnitProperties", "sba(sv)", name, True, _variants(properties))

    async def unit_properties(self, name: str) -> dict[str, Any]:
        """All properties of a unit, of every interface it has. An unknown unit has LoadState "not-found"."""
        reply = await self._call(_PROPERTIES, "GetAll", "s", "", path=unit_path(name))
        return {key: variant.value for key, variant in reply[0].items()}

    async def manager_property(self, name: str) -> Any:
        """A property of PID 1 itself, such as "Version"."""
        reply = await self._call(_PROPERTIES, "Get", "ss", _MANAGER, name)
        return reply[0].value

    async def kill_unit(self, name: str, *, whom: str, signal: int) -> None:
        """Send a signal to the "main", "control" or "all" processes of a unit."""
        await self._call(_MANAGER, "KillUnit", "ssi", name, whom, signal)

    async def reset_failed_unit(self, name: str) -> None:
        """Forget that a unit failed, so that it is unloaded. A unit that is gone already is no error."""
        try:
            await self._call(_MANAGER, "ResetFailedUnit", "s", name)
        except SystemdError as error:
            if error.name != NO_SUCH_UNIT:
                raise

    def _expect_job(self, name: str) -> asyncio.Future[str]:
        """Wait for the end of a unit's job. Called before the job exists, because its end may overtake the reply."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._jobs[name] = future
        future.add_done_callback(lambda _: self._jobs.pop(name, None))
        return future

    async def _call(
        self, interface: str, member: str, signature: str, *body: Any, path: str = _PATH, fds: Sequence[int] = ()
    ) -> list[Any]:
        loop = asyncio.get_running_loop()
        until = loop.time() + _RETRY_SECONDS
        while True:
            try:
                # A message of its own for each try: its serial belongs to the connection.
                return await self._call_once(
                    Message(
                        destination=_NAME,
                        path=path,
                        interface=interface,
                        member=member,
                        signature=signature,
                        body=list(body),
                        unix_fds=list(fds),
                    )
                )
            except (OSError, EOFError, TimeoutError) as error:
                last = Unreachable("org.freedesktop.DBus.Error.Disconnected", f"the system bus: {error}")
            except SystemdError as error:
                if error.name not in _PASSING:
                    raise
                last = Unreachable(error.name, str(error))
            if loop.time() > until:
                raise last
            await asyncio.sleep(0.2)

    async def _call_once(self, message: Message) -> list[Any]:
        bus = await self._connected()
        reply = await bus.call(message)
        if reply is None:
            raise EOFError("the connection was closed")
        if reply.message_type is MessageType.ERROR:
            raise SystemdError(reply.error_name or "", str(reply.body[0]) if reply.body else "")
        return list(reply.body)

    async def _connected(self) -> MessageBus:
        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    self._bus = await self._connect()
            return self._bus

    async def _connect(self) -> MessageBus:
        bus = MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
        await bus.connect()
        bus.add_message_handler(self._on_message)
        match = f"type='signal',sender='{_NAME}',path='{_PATH}',interface='{_MANAGER}',member='JobRemoved'"
        await bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=[match],
            )
        )
        # Without a subscriber PID 1 sends signals about nobody's jobs. While it re-executes, the answer is an error;
        # what we wait for then is in the job's records, too.
        await bus.call(Message(destination=_NAME, path=_PATH, interface=_MANAGER, member="Subscribe"))
        return bus

    def _on_message(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.member == "JobRemoved":
            _, _, unit, result = message.body
            future = self._jobs.get(unit)
            if future is not None and not future.done():
                future.set_result(result)


def _variants(properties: Mapping[str, Any]) -> list[list[Any]]:
    return [[name, Variant(_TYPES[name], value)] for name, value in properties.items()]
