"""The process connector (driver-api/connector): the kernel tells of every fork, exec and exit on the machine.

Needs CAP_NET_ADMIN before Linux 6.6. Listening belongs to the socket and ends with it. Importing pyroute2 takes 0.2 s:
import this module only where somebody listens.
"""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pyroute2.netlink import NETLINK_CONNECTOR, NLMSG_DONE
from pyroute2.netlink.connector.cn_proc import (
    CN_IDX_PROC,
    CN_VAL_PROC,
    PROC_CN_MCAST_LISTEN,
    PROC_EVENT_EXEC,
    PROC_EVENT_EXIT,
    PROC_EVENT_FORK,
    ProcEventMarshal,
    proc_event_control,
)

_ROOM = 65536


@dataclass(frozen=True, slots=True)
class Forked:
    """A new process, or a new thread when `child` is not `child_thread`."""

    parent: int
    child: int
    child_thread: int


@dataclass(frozen=True, slots=True)
class Execed:
    process: int


@dataclass(frozen=True, slots=True)
class Exited:
    """`status` as wait(2) gives it. A thread ended when `process` is not `thread`."""

    process: int
    thread: int
    status: int


Event = Forked | Execed | Exited


class ProcConnector:
    """Listens. Owns a netlink socket; close it, or use `with`. PermissionError: not allowed to.

    The messages are pyroute2's. The socket is our own: pyroute2's reads ahead into a queue of its own, so that
    select(2) would not see what has already come.
    """

    def __init__(self) -> None:
        self._marshal: Any = ProcEventMarshal()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, NETLINK_CONNECTOR)
        try:
            self._socket.bind((0, CN_IDX_PROC))
            self._socket.send(_listen())
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> tuple[Event, ...]:
        """The next events; waits for them. OSError with ENOBUFS: some were lost, look at /proc again."""
        events = (_event(message) for message in self._marshal.parse(self._socket.recv(_ROOM)))
        return tuple(event for event in events if event is not None)

    def close(self) -> None:
        # Closing is enough: the kernel counts listeners by socket (drivers/connector/cn_proc.c, cn_proc_mcast_ctl).
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _listen() -> bytes:
    message = proc_event_control()
    message["header"]["type"] = NLMSG_DONE
    message["idx"] = CN_IDX_PROC
    message["val"] = CN_VAL_PROC
    message["len"] = 4
    message["action"] = PROC_CN_MCAST_LISTEN
    message.encode()
    return bytes(message.data)


def _event(message: Any) -> Event | None:
    match message["what"]:
        case value if value == PROC_EVENT_FORK:
            return Forked(message["parent_tgid"], message["child_tgid"], message["child_pid"])
        case value if value == PROC_EVENT_EXEC:
            return Execed(message["process_tgid"])
        case value if value == PROC_EVENT_EXIT:
            return Exited(message["process_tgid"], message["process_pid"], message["exit_code"])
    return None
