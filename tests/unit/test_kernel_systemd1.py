"""The client of PID 1, against a stand-in on a bus of the test's own."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.pid1 import Pid1

from mlosd.kernel.systemd1 import Systemd, SystemdError, Unreachable, cpu_mask, unit_path

CONFIGURATION = """
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
    """A dbus-daemon of our own, that can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "bus"
        self._configuration = folder / "bus.conf"
        self._configuration.write_text(CONFIGURATION.format(path=self._socket))
        self.address = f"unix:path={self._socket}"

    def start(self) -> None:
        command = ["dbus-daemon", f"--config-file={self._configuration}", "--nofork", "--print-address=1"]
        self._daemon = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._daemon.stdout
        assert self._daemon.stdout.readline()  # it listens now

    def stop(self) -> None:
        self._daemon.terminate()
        self._daemon.wait()
        assert self._daemon.stdout
        self._daemon.stdout.close()
        self._socket.unlink(missing_ok=True)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed")
    result = Bus(tmp_path)
    result.start()
    yield result
    result.stop()


def _with_pid1(bus: Bus, act: Callable[[Systemd, Pid1], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Pid1(bus.address) as pid1:
            systemd = Systemd(bus.address)
            await systemd.open()
            try:
                async with asyncio.timeout(20):
                    await act(systemd, pid1)
            finally:
                await systemd.close()

    asyncio.run(run())


def test_a_transient_unit_is_started_with_properties_and_descriptors(bus: Bus) -> None:
    async def act(systemd: Systemd, pid1: Pid1) -> None:
        null = os.open("/dev/null", os.O_RDWR)
        properties = {"Type": "notify", "MemoryMax": 1 << 40, "StandardInputFileDescriptor": 0}
        ended = await systemd.start_transient_unit("x.service", properties, fds=[null])
        os.close(null)
        assert await ended == "done"
        member, (name, mode, given, _) = pid1.calls[-1]
        assert (member, name, mode) == ("StartTransientUnit", "x.service", "fail")
        assert [(key, variant.value) for key, variant in given] == list(properties.items())
        assert pid1.fds == 1

    _with_pid1(bus, act)


def test_a_start_that_fails_says_how(bus: Bus) -> None:
    async def act(systemd: Systemd, pid1: Pid1) -> None:
        pid1.start_result = "failed"
        assert await (await systemd.start_transient_unit("x.service", {})) == "failed"

    _with_pid1(bus, act)


def test_what_pid_1_refuses_is_an_error_with_its_name(bus: Bus) -> None:
    async def act(systemd: Systemd, pid1: Pid1) -> None:
        pid1.errors["StartTransientUnit"] = ["org.freedesktop.systemd1.UnitExists"]
        with pytest.raises(SystemdError) as raised:
            await systemd.start_transient_unit("x.service", {})
        assert raised.value.name == "org.freedesktop.systemd1.UnitExists"

    _with_pid1(bus, act)


def test_a_call_is_repeated_while_pid_1_executes_itself_anew(bus: Bus) -> None:
    async def act(systemd: Systemd, pid1: Pid1) -> None:
        pid1.errors["GetAll"] = ["org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.ServiceUnknown"]
        assert (await systemd.unit_properties("x.service"))["ActiveState"] == "active"
        assert [member for member, _ in pid1.calls].count("GetAll") == 3

    _with_pid1(bus, act)


def test_a_bus_that_restarted_is_connected_to_again(bus: Bus) -> None:
    async def run() -> None:
        systemd = Systemd(bus.address)
        async with Pid1(bus.address):
            await systemd.open()
        bus.stop()
        bus.start()
        async with Pid1(bus.address) as pid1, asyncio.timeout(20):
            assert (await systemd.unit_properties("x.service"))["ActiveState"] == "active"
            # Without a subscription there would be no word on jobs any more.
            assert ("Subscribe", []) in pid1.calls
            assert await (await systemd.stop_unit("x.service")) == "done"
            await systemd.close()

    asyncio.run(run())


def test_a_unit_that_is_gone_already_is_forgotten_without_a_word(bus: Bus) -> None:
    async def act(systemd: Systemd, pid1: Pid1) -> None:
        pid1.errors["ResetFailedUnit"] = ["org.freedesktop.systemd1.NoSuchUnit"]
        await systemd.reset_failed_unit("x.service")
        pid1.errors["ResetFailedUnit"] = ["org.freedesktop.DBus.Error.AccessDenied"]
        with pytest.raises(SystemdError):
            await systemd.reset_failed_unit("x.service")

    _with_pid1(bus, act)


def test_without_a_bus_it_is_unreachable(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(Unreachable):
            await Systemd(f"unix:path={tmp_path}/nobody").open()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("cpus", "mask"), [([0], b"\x01"), ([0, 1, 7], b"\x83"), ([8], b"\x00\x01"), ([9, 0], b"\x01\x02"), ([], b"")]
)
def test_cpus_are_a_mask_on_the_bus(cpus: list[int], mask: bytes) -> None:
    assert cpu_mask(cpus) == mask


def test_the_object_of_a_unit_has_its_name_escaped() -> None:
    assert unit_path("mlos-job-7.service") == "/org/freedesktop/systemd1/unit/mlos_2djob_2d7_2eservice"
    assert unit_path("7.slice") == "/org/freedesktop/systemd1/unit/_37_2eslice"
