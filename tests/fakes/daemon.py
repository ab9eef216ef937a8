"""A real daemon in a directory of its own: started, killed and started again by a test."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from mlosd.client import Connection
from mlosd.core.errors import Unreachable

START_LIMIT = 20.0


class Mlosd:
    """`python -m mlosd.daemon.main --root DIR`. Use as a context manager: leaves no process and no cgroup."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                self.end_jobs()
            finally:
                self.stop()
        print(self.log.read_text(), file=sys.stderr)  # shown by pytest when the test fails

    @property
    def socket(self) -> Path:
        return self.root / "run" / "mlosd.sock"

    def command(self) -> list[str]:
        """What is run."""
        return [sys.executable, "-m", "mlosd.daemon.main", "--root", str(self.root)]

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.root.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                self.call("io.mlosd.Daemon.Status")
            except Unreachable:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.01)
            else:
                return

    def stop(self) -> int:
        """SIGTERM, as systemd would."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def connect(self) -> Connection:
        return Connection.open(self.socket)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One call on a connection of its own."""
        with self.connect() as connection:
            return connection.call(method, parameters)

    def submit(self, *argv: str, **more: Any) -> int:
        """Queue a command; its id."""
        job = {"argv": list(argv), "cwd": "/", "environment": dict(os.environ), **more}
        return int(self.call("io.mlosd.Jobs.Submit", job=job)["id"])

    def show(self, id_: int) -> dict[str, Any]:
        job: dict[str, Any] = self.call("io.mlosd.Jobs.Show", id=id_)["job"]
        return job

    def wait(self, id_: int, *states: str) -> dict[str, Any]:
        """The job when it is in one of these states, or DONE."""
        with self.connect() as connection:
            for reply in connection.stream("io.mlosd.Jobs.Wait", {"id": id_}):
                job: dict[str, Any] = reply["job"]
                if job["state"] in (states or ("DONE",)):
                    return job
        return self.show(id_)

    def output(self, id_: int) -> str:
        """All that a job printed."""
        import base64

        return base64.b64decode(self.call("io.mlosd.Jobs.Logs", id=id_)["data"]).decode()

    def end_jobs(self) -> None:
        """Cancel whatever is left."""
        jobs = self.call("io.mlosd.Jobs.List", everyone=True)["jobs"]
        for _ in range(2):
            for job in jobs:
                self.call("io.mlosd.Jobs.Cancel", id=job["id"])
        for job in jobs:
            self.wait(job["id"])
