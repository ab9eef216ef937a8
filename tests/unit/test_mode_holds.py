"""Leases of the kernel and of the bus: taken, released, and released by themselves."""

import asyncio
import os
import shutil
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from dbus_fast import Message
from tests.fakes.bus import Bus, Service
from tests.fakes.manager import Manager

from mlosd.kernel import system_bus
from mlosd.kernel.system_bus import SystemBus
from mlosd.kernel.topology import Topology
from mlosd.mode.knob import Cannot, Want
from mlosd.mode.knobs import cpu_dma_latency, power_profile, sleep_inhibitor
from mlosd.mode.scene import Host, Scene
from mlosd.undo.dbus import DBusError
from mlosd.undo.systemd import Systemd

PPD = "org.freedesktop.UPower.PowerProfiles"


def _scene(root: Path, pid1: Systemd | None = None) -> Scene:
    return Scene(Host(dev=root / "dev", run=root / "run", pid1=pid1), Topology(()))


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed")
    with Bus(tmp_path) as bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        yield bus


def _run(act: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            await act()

    asyncio.run(run())


def _descriptors_of(file: Path) -> list[int]:
    return [int(fd.name) for fd in Path("/proc/self/fd").iterdir() if os.path.realpath(fd) == str(file)]


class Logind:
    """Gives the writing end of a pipe: the reading end tells when it is closed."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def __call__(self, call: Message) -> Message:
        return Message.new_method_return(call, "h", [0], unix_fds=[self._write_end])

    def is_held(self) -> bool:
        try:
            return os.read(self.read_end, 1) != b""
        except BlockingIOError:
            return True

    def forget(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


def test_a_cpu_latency_is_held_by_an_open_descriptor(tmp_path: Path) -> None:
    device = tmp_path / "dev/cpu_dma_latency"
    device.parent.mkdir()
    device.write_bytes(b"")
    scene = _scene(tmp_path)
    assert cpu_dma_latency.KNOB.look(20, scene) == Want("lease", str(device), "20 us")

    async def act() -> None:
        held = await cpu_dma_latency.KNOB.take(20, scene)
        assert device.read_bytes() == struct.pack("=i", 20)
        (fd,) = _descriptors_of(device)
        assert not os.get_inheritable(fd)
        await held.release()
        await held.release()
        assert _descriptors_of(device) == []

    _run(act)


def test_without_the_device_there_is_no_cpu_latency(tmp_path: Path) -> None:
    scene = _scene(tmp_path)
    assert isinstance(cpu_dma_latency.KNOB.look(20, scene), Cannot)
    with pytest.raises(FileNotFoundError):
        asyncio.run(cpu_dma_latency.take(20, scene))


@pytest.mark.parametrize("setting", [-1, 1_000_001, True, "20", 1.5])
def test_a_latency_that_makes_no_sense_is_not_accepted(setting: int) -> None:
    with pytest.raises(ValueError, match="whole number"):
        cpu_dma_latency.KNOB.accepts(setting)


def test_sleep_is_inhibited_until_it_is_released(tmp_path: Path, bus: Bus) -> None:
    (tmp_path / "run/systemd/seats").mkdir(parents=True)
    scene = _scene(tmp_path)
    assert sleep_inhibitor.KNOB.look("sleep:idle", scene) == Want("lease", "logind", "sleep:idle")

    async def act() -> None:
        logind = Logind()
        async with Service(bus.address, "org.freedesktop.login1", logind) as service:
            held = await sleep_inhibitor.KNOB.take("sleep:idle", scene)
            logind.forget()
            assert service.calls == [("Inhibit", ["sleep:idle", "mlosd", "ML mode: training runs", "block"])]
            assert logind.is_held()
            await held.release()
            assert not logind.is_held()
        os.close(logind.read_end)

    _run(act)


def test_where_logind_does_not_run_nothing_is_to_be_inhibited(tmp_path: Path) -> None:
    assert isinstance(sleep_inhibitor.KNOB.look("sleep:idle", _scene(tmp_path)), Cannot)


def test_what_logind_refuses_is_said_in_its_words(tmp_path: Path, bus: Bus) -> None:
    def refuse(call: Message) -> Message:
        return Message.new_error(call, "org.freedesktop.DBus.Error.AccessDenied", "Permission denied")

    async def act() -> None:
        async with Service(bus.address, "org.freedesktop.login1", refuse):
            with pytest.raises(DBusError) as raised:
                await sleep_inhibitor.take("sleep:idle", _scene(tmp_path))
            assert raised.value.strerror == "AccessDenied: Permission denied"

    _run(act)


@pytest.mark.parametrize("name", [PPD, "net.hadess.PowerProfiles"])
def test_a_power_profile_is_held_and_released(tmp_path: Path, bus: Bus, name: str) -> None:
    async def act() -> None:
        async with Service(bus.address, name, lambda call: Message.new_method_return(call, "u", [7])) as service:
            held = await power_profile.KNOB.take("performance", _scene(tmp_path))
            assert service.left == []
            await held.release()
            await _until(lambda: bool(service.left))
            assert service.calls == [
                ("HoldProfile", ["performance", "ML mode: training runs", "mlosd"]),
                ("ReleaseProfile", [7]),
            ]

    _run(act)


def test_a_profile_that_the_user_changed_meanwhile_is_released_without_a_word(tmp_path: Path, bus: Bus) -> None:
    def answer(call: Message) -> Message:
        if call.member == "HoldProfile":
            return Message.new_method_return(call, "u", [7])
        return Message.new_error(call, "org.freedesktop.DBus.Error.InvalidArgs", "No hold with cookie 7")

    async def act() -> None:
        async with Service(bus.address, PPD, answer) as service:
            await (await power_profile.KNOB.take("performance", _scene(tmp_path))).release()
            await _until(lambda: bool(service.left))

    _run(act)


def test_a_profile_that_the_machine_does_not_have_is_refused(tmp_path: Path, bus: Bus) -> None:
    def refuse(call: Message) -> Message:
        return Message.new_error(call, "org.freedesktop.DBus.Error.InvalidArgs", "Only profiles that exist")

    async def act() -> None:
        async with Service(bus.address, PPD, refuse) as service:
            with pytest.raises(DBusError):
                await power_profile.take("performance", _scene(tmp_path))
            await _until(lambda: bool(service.left))  # no connection stays behind

    _run(act)


def test_where_nobody_holds_profiles_that_is_said(tmp_path: Path, bus: Bus) -> None:
    async def act() -> None:
        with pytest.raises(OSError, match="nobody on the bus"):
            await power_profile.take("performance", _scene(tmp_path))

    _run(act)


@pytest.mark.parametrize(
    ("units", "found"),
    [
        ({"power-profiles-daemon.service": {}}, "power-profiles-daemon.service"),
        ({"tuned-ppd.service": {}}, "tuned-ppd.service"),
        ({"tuned-ppd.service": {"ActiveState": "inactive"}}, None),
        ({}, None),
    ],
)
def test_a_profile_is_only_held_with_a_daemon_that_runs(
    tmp_path: Path, units: dict[str, dict[str, str]], found: str | None
) -> None:
    with Manager(tmp_path, units) as manager:
        pid1 = Systemd(manager.socket, manager.control)
        wish = power_profile.KNOB.look("performance", _scene(tmp_path, pid1))
        pid1.close()
    assert wish == (Want("lease", found, "performance") if found else Cannot("power profile", wish.reason))  # type: ignore[union-attr]


def test_without_a_bus_a_lease_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")
    for knob, setting in ((sleep_inhibitor.KNOB, "sleep"), (power_profile.KNOB, "performance")):
        with pytest.raises(OSError):
            asyncio.run(_take(knob.take(setting, _scene(tmp_path))))


def test_nobody_is_started_and_nobody_waited_for_without_end(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_bus, "_SECONDS", 0.2)

    async def act() -> None:
        async with Service(bus.address, "a.b", lambda call: None):
            client = await SystemBus.connect()
            assert await client.has_owner("a.b")
            assert not await client.has_owner("a.c")
            with pytest.raises(DBusError) as raised:
                await client.call("a.c", "/a", "a.c", "Do")
            assert raised.value.name.endswith((".ServiceUnknown", ".NameHasNoOwner"))
            with pytest.raises(TimeoutError):
                await client.call("a.b", "/a", "a.b", "Do")
            client.close()

    _run(act)


async def _take(taking: Awaitable[object]) -> None:
    await taking


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)
