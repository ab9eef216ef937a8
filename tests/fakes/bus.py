"""A bus of a test's own, and services on it that do as the test says."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio.message_bus import MessageBus

_CONFIGURATION = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""


class Bus:
    """A dbus-daemon that runs while it is entered."""

    def __init__(self, folder: Path) -> None:
        self._configuration = folder / "bus.conf"
        self._configuration.write_text(_CONFIGURATION.format(path=folder / "bus"))
        self.address = f"unix:path={folder / 'bus'}"

    def __enter__(self) -> "Bus":
        command = ["dbus-daemon", f"--config-file={self._configuration}", "--nofork", "--print-address=1"]
        self._daemon = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._daemon.stdout
        assert self._daemon.stdout.readline()  # it listens now
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.terminate()
        self._daemon.wait()
        assert self._daemon.stdout
        self._daemon.stdout.close()


class Service:
    """Has a name on the bus while it is entered. `answer` gets each call; None is no answer at all."""

    def __init__(self, address: str, name: str, answer: Callable[[Message], Message | None]) -> None:
        self._address = address
        self._name = name
        self._answer = answer
        self.calls: list[tuple[str, list[Any]]] = []
        self.left: list[str] = []

    async def __aenter__(self) -> "Service":
        self._bus = MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
        await self._bus.connect()
        await self._bus.request_name(self._name)
        self._bus.add_message_handler(self._on_message)
        match = "type='signal',member='NameOwnerChanged'"
        bus = "org.freedesktop.DBus"
        await self._bus.call(Message(bus, "/org/freedesktop/DBus", bus, "AddMatch", signature="s", body=[match]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.disconnect()

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.member == "NameOwnerChanged" and not message.body[2]:
            self.left.append(message.body[0])
        if message.message_type is not MessageType.METHOD_CALL or message.destination != self._name:
            return None
        self.calls.append((str(message.member), list(message.body)))
        return self._answer(message) or True
