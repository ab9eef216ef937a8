"""A full disk: what was accepted is kept, what cannot be kept is refused, and the daemon goes on.

The disk is a tmpfs of 4 MiB in a mount namespace of the daemon's own.
"""

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.daemon import Mlosd

from mlosd.core.errors import Refused

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root: it mounts a small tmpfs in a namespace of its own"),
]


class OnASmallDisk(Mlosd):
    """A daemon whose state is on a disk of its own, which only it sees."""

    def command(self) -> list[str]:
        mount = f"mount -t tmpfs -o size=4m mlosd-test {shlex.quote(str(self.root))}"
        inner = f"{mount} && exec {shlex.join(super().command())}"
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner]

    @property
    def inside(self) -> Path:
        """The disk, by way of the daemon."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self.root}")

    @property
    def socket(self) -> Path:
        return self.inside / "run" / "mlosd.sock"

    def fill(self) -> None:
        with (self.inside / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def empty(self) -> None:
        (self.inside / "filler").unlink()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[OnASmallDisk]:
    daemon = OnASmallDisk(tmp_path / "disk")
    daemon.log = tmp_path / "daemon.log"
    with daemon:
        yield daemon


def test_a_submission_is_refused_and_a_running_job_is_not_lost(small: OnASmallDisk) -> None:
    running = small.submit("sh", "-c", "sleep 1.5; exit 3")
    small.wait(running, "RUNNING")
    small.fill()
    with pytest.raises(Refused, match="is full"):
        for _ in range(200):
            small.submit("sleep", "600")
    time.sleep(2)
    assert small.call("io.mlosd.Daemon.Status")["pid"]
    small.empty()
    job = small.wait(running)
    assert (job["result"], job["exit_code"]) == ("failed", 3)
    small.submit("true")


def test_a_job_whose_output_fills_the_disk_still_has_its_end_recorded(small: OnASmallDisk) -> None:
    id_ = small.submit("sh", "-c", "yes | head -c 20000000; exit 0")
    deadline = time.monotonic() + 30
    while small.show(id_)["state"] not in ("DONE", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    small.call("io.mlosd.Daemon.Status")
    (small.inside / "lib" / "output" / f"{id_}.log").write_bytes(b"")
    assert small.wait(id_)["state"] == "DONE"
