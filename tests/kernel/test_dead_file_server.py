"""A file server that does not answer: whoever asks for its files waits, and nobody else.

The server is a fuse(4) that nobody serves, in a mount namespace of the daemon's own.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fakes.daemon import Mlosd

from mlosd.core.errors import Unreachable

MOUNT_AND_RUN = """
import ctypes, os, sys
place, *command = sys.argv[1:]
server = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(server, True)
options = f"fd={server},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if ctypes.CDLL(None, use_errno=True).mount(b"dead", place.encode(), b"fuse", 0, options) < 0:
    raise OSError(ctypes.get_errno(), "mount")
os.execv(command[0], command)
"""

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root: it mounts a fuse in a namespace of its own"),
    pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="there is no /dev/fuse"),
]


class BesideADeadServer(Mlosd):
    """A daemon that sees a mount which nobody serves. The mount ends with it."""

    @property
    def dead(self) -> Path:
        return self.root.parent / "dead"

    def command(self) -> list[str]:
        self.dead.mkdir(exist_ok=True)
        mount = [sys.executable, "-c", MOUNT_AND_RUN, str(self.dead), *super().command()]
        return ["unshare", "--mount", "--propagation", "private", *mount]


@pytest.fixture
def mlosd(tmp_path: Path) -> Iterator[BesideADeadServer]:
    daemon = BesideADeadServer(tmp_path / "root")
    with daemon:
        yield daemon


@pytest.fixture
def waiting(mlosd: BesideADeadServer) -> Iterator[threading.Thread]:
    """Somebody who adds a project there."""

    def add() -> None:
        with suppress(Unreachable):
            mlosd.call("io.mlosd.Projects.Add", path=str(mlosd.dead / "project"))

    thread = threading.Thread(target=add)
    thread.start()
    time.sleep(0.3)
    yield thread
    thread.join(10)


def test_only_the_one_who_adds_a_project_there_waits(mlosd: BesideADeadServer, waiting: threading.Thread) -> None:
    before = time.monotonic()
    assert mlosd.wait(mlosd.submit("true"))["result"] == "ok"
    assert time.monotonic() - before < 5
    assert waiting.is_alive()
    mlosd.kill()


def test_a_daemon_stops_all_the_same(mlosd: BesideADeadServer, waiting: threading.Thread) -> None:
    assert waiting.is_alive()
    assert mlosd.stop() == 0


def test_a_job_whose_directory_is_there_can_be_cancelled(mlosd: BesideADeadServer) -> None:
    id_ = mlosd.submit("true", cwd=str(mlosd.dead / "project"), grace=60)
    time.sleep(0.3)
    assert mlosd.show(id_)["state"] == "STARTING"
    mlosd.call("io.mlosd.Jobs.Cancel", id=id_)
    time.sleep(0.3)
    assert mlosd.show(id_)["state"] == "STARTING"  # it is in its grace period
    mlosd.call("io.mlosd.Jobs.Cancel", id=id_)
    job = mlosd.wait(id_)
    assert (job["result"], job["signal"]) == ("killed", signal.SIGKILL)
    assert job["reason"].startswith("cancelled by root")
