"""Where the daemon listens, and the connection to it."""

import os

from mlosd.client import Connection

SOCKET = "/run/mlosd/mlosd.sock"


class Address:
    """The daemon's socket, and the root that it keeps its state below (None: the machine's own)."""

    __slots__ = ("root", "socket")

    def __init__(self, *, socket: str | None, root: str | None) -> None:
        # What is typed beats what is set; of each, the socket is the more exact one.
        if socket is None and root is None:
            socket, root = os.environ.get("MLOSD_SOCKET") or None, os.environ.get("MLOSD_ROOT") or None
        self.root = root
        self.socket = socket or (os.path.join(root, "run", "mlosd.sock") if root else SOCKET)  # noqa: PTH118

    def connect(self) -> Connection:
        """Connect to the daemon. Raises Unreachable."""
        return Connection.open(self.socket)
