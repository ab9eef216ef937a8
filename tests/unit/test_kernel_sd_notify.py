"""sd_notify(3) and sd_listen_fds(3), against a socket that the test listens on."""

import array
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlosd.kernel import sd_notify


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def _environment(manager: socket.socket) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname()}


def test_ready_says_it_in_one_message_with_a_status_of_one_line(manager: socket.socket) -> None:
    assert sd_notify.ready("3 jobs\nrunning", environment=_environment(manager))
    assert manager.recv(4096) == b"READY=1\nSTATUS=3 jobs running"


@pytest.mark.parametrize(
    ("tell", "message"),
    [(sd_notify.stopping, b"STOPPING=1"), (sd_notify.watchdog, b"WATCHDOG=1")],
)
def test_each_state_is_one_message(manager: socket.socket, tell: object, message: bytes) -> None:
    assert callable(tell)
    assert tell(environment=_environment(manager))
    assert manager.recv(4096) == message


def test_without_a_manager_nothing_is_said_and_nothing_breaks() -> None:
    assert not sd_notify.ready("running", environment={})
    assert not sd_notify.notify("WATCHDOG=1", environment={"NOTIFY_SOCKET": ""})


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0mlosd-test-{os.getpid()}")
        listening.settimeout(5)
        assert sd_notify.watchdog(environment={"NOTIFY_SOCKET": f"@mlosd-test-{os.getpid()}"})
        assert listening.recv(4096) == b"WATCHDOG=1"


def test_a_manager_that_went_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        sd_notify.watchdog(environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})


def test_a_stored_descriptor_travels_with_its_name(manager: socket.socket, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+") as file:
        assert sd_notify.store_fds("jobs", [file.fileno()], environment=_environment(manager))
        data, ancillary, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(4))
        passed = array.array("i", ancillary[0][2])[0]
        assert data == b"FDSTORE=1\nFDNAME=jobs\nFDPOLL=0"
        assert os.path.sameopenfile(passed, file.fileno())
        os.close(passed)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_only_when_it_names_us(environment: dict[str, str], seconds: float | None) -> None:
    assert sd_notify.watchdog_seconds(environment) == seconds


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_descriptors_meant_for_another_process_are_not_taken(environment: dict[str, str]) -> None:
    assert sd_notify.take_fds(environment) == {}
    assert environment == {}


def test_passed_descriptors_are_found_by_name_and_no_child_inherits_them() -> None:
    child = os.fork()
    if child == 0:  # only a fresh process may put descriptors at 3 and 4
        try:
            low = os.open("/dev/null", os.O_RDONLY)
            os.dup2(low, 3)
            os.dup2(low, 4)
            environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "mlosd.socket:jobs"}
            taken = sd_notify.take_fds(environment)
            right = taken == {"mlosd.socket": [3], "jobs": [4]} and not environment
            os._exit(0 if right and not os.get_inheritable(3) and not os.get_inheritable(4) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
