"""PID 1's side of org.freedesktop.systemd1 on a private bus: takes transient units, and does as the test says."""

import asyncio
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus

NAME = "org.freedesktop.systemd1"
MANAGER = f"{NAME}.Manager"


class Pid1:
    """Answers every call, and remembers it. `errors`: what to answer to the next call of a method instead."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.calls: list[tuple[str, list[Any]]] = []
        self.errors: dict[str, list[str]] = {}
        self.fds = 0
        self.unit: dict[str, Variant] = {"ActiveState": Variant("s", "active")}
        self.start_result: str | None = "done"

    async def __aenter__(self) -> "Pid1":
        self._bus = MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
        await self._bus.connect()
        await self._bus.request_name(NAME)
        self._bus.add_message_handler(self._answer)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.disconnect()

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.destination != NAME:
            return None
        member = str(message.member)
        self.calls.append((member, message.body))
        self.fds += len(message.unix_fds)
        if errors := self.errors.get(member):
            return Message.new_error(message, errors.pop(0), "as the test says")
        match member:
            case "GetAll":
                return Message.new_method_return(message, "a{sv}", [self.unit])
            case "StartTransientUnit" | "StopUnit":
                if self.start_result is not None:
                    asyncio.get_running_loop().call_soon(self._job_removed, message.body[0], self.start_result)
                return Message.new_method_return(message, "o", [f"/org/freedesktop/systemd1/job/{len(self.calls)}"])
        return Message.new_method_return(message)

    def _job_removed(self, unit: str, result: str) -> None:
        path = "/org/freedesktop/systemd1"
        self._bus.send(Message.new_signal(path, MANAGER, "JobRemoved", "uoss", [1, f"{path}/job/1", unit, result]))
