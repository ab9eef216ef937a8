"""What systemd and a service tell each other: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).

Everything here does nothing and says so (returns False, an empty mapping, None) when no service manager is listening.
"""

import os
import socket
from array import array
from collections.abc import Iterable, Mapping, MutableMapping

_FIRST_FD = 3  # SD_LISTEN_FDS_START


def notify(*states: str, fds: Iterable[int] = (), environment: Mapping[str, str] = os.environ) -> bool:
    """Send states such as "READY=1" in one message. False: nobody asked for them.

    Raises OSError when the manager's socket does not take the message.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address[0] == "@":  # a name in the abstract namespace
        address = "\0" + address[1:]
    passed = array("i", fds)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)] if passed else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.connect(address)
        connection.sendmsg(["\n".join(states).encode()], ancillary)
    return True


def ready(status: str, *, environment: Mapping[str, str] = os.environ) -> bool:
    """Start-up is finished."""
    return notify("READY=1", f"STATUS={_one_line(status)}", environment=environment)


def stopping(*, environment: Mapping[str, str] = os.environ) -> bool:
    """Shutdown has begun."""
    return notify("STOPPING=1", environment=environment)


def status(text: str, *, environment: Mapping[str, str] = os.environ) -> bool:
    """Say, in a line, what the service is doing; `systemctl status` shows it."""
    return notify(f"STATUS={_one_line(text)}", environment=environment)


def watchdog(*, environment: Mapping[str, str] = os.environ) -> bool:
    """The service is alive and makes progress."""
    return notify("WATCHDOG=1", environment=environment)


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How long systemd waits for a sign of life; None when it does not. Give signs twice as often."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000


def store_fds(name: str, fds: Iterable[int], *, environment: Mapping[str, str] = os.environ) -> bool:
    """Have the manager keep descriptors under `name` over a restart of this service (FileDescriptorStoreMax=)."""
    # FDPOLL=0: keep a descriptor even when it hangs up, such as a pidfd of a process that ended while we were away.
    return notify("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0", fds=fds, environment=environment)


def drop_fds(name: str, *, environment: Mapping[str, str] = os.environ) -> bool:
    """Have the manager close the descriptors that it keeps under `name`."""
    return notify("FDSTOREREMOVE=1", f"FDNAME={name}", environment=environment)


def take_fds(environment: MutableMapping[str, str] = os.environ) -> dict[str, list[int]]:
    """The descriptors that were passed to this process, by name: sockets of its .socket units, and stored ones.

    They are made close-on-exec, and the variables are removed: no child shall take them for its own.
    """
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    passed: dict[str, list[int]] = {}
    known = names.split(":") if names else []
    for index in range(int(count)):
        fd = _FIRST_FD + index
        os.set_inheritable(fd, False)
        passed.setdefault(known[index] if index < len(known) else "unknown", []).append(fd)
    return passed


def _one_line(text: str) -> str:
    return " ".join(text.split())
