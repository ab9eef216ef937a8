"""A stand-in for the daemon: runs one command on the descriptors it is passed, as io.mlosd.Jobs.Run does."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

JOB = {
    "id": 7, "name": "x", "user": "ann", "env": "dev", "class": "batch", "priority": 0, "argv": ["x"], "cwd": "/",
    "submitted_at": 1.0, "started_at": 2.0, "limits": {}, "cpus": [], "gpus": [], "notes": [],
}  # fmt: skip


class ForegroundDaemon:
    """Listens at `path`. `calls` is what it was asked, besides Run, with the signal where there was one."""

    def __init__(self, path: Path, *, queued_for: float = 0.0, hangs_up: bool = False) -> None:
        self.path, self.queued_for, self.hangs_up = path, queued_for, hangs_up
        self.calls: list[tuple[str, int | None]] = []
        self.request: dict[str, Any] = {}
        self.child: subprocess.Popen[bytes] | None = None
        self.cancelled = threading.Event()
        self._starting = threading.Lock()
        self._listening: socket.socket | None = None
        self._connected: list[socket.socket] = []

    def __enter__(self) -> "ForegroundDaemon":
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self.cancelled.set()
        if self.child is not None and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def listen(self) -> None:
        """Start to answer."""
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(os.fspath(self.path))
        self._listening.listen()
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def leave(self) -> None:
        """Go away, as a daemon that is restarted does; the command goes on."""
        assert self._listening is not None
        for connected in (self._listening, *self._connected):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            connected.close()
        self.path.unlink(missing_ok=True)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = listening.accept()
                self._connected.append(connected)
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        data, fds = b"", list[int]()
        with contextlib.suppress(OSError):
            while True:
                more, passed, _, _ = socket.recv_fds(connected, 1 << 20, 8)
                if not more:
                    return
                data, fds = data + more, fds + passed
                while b"\0" in data:
                    message, _, data = data.partition(b"\0")
                    call = json.loads(message)
                    for reply in self._answer(call["method"].rsplit(".", 1)[1], call["parameters"], fds):
                        connected.sendall(json.dumps(reply).encode() + b"\0")

    def _answer(self, method: str, parameters: dict[str, Any], fds: list[int]) -> Iterator[dict[str, Any]]:
        if method == "Run":
            yield from self._run(parameters, fds)
            return
        self.calls.append((method, parameters.get("signal")))
        if method == "Signal":
            with self._starting:
                child = self.child
            if child is None:
                yield {"error": "io.mlosd.Error.Refused", "parameters": {"message": "no processes", "exit_code": 69}}
                return
            child.send_signal(parameters["signal"])
        if method == "Cancel":
            self.cancelled.set()
            if self.child is not None:
                self.child.terminate()
        if method == "Wait":
            yield _reply("RUNNING", continues=True)
            yield self._done()
        else:
            yield {"parameters": {} if method == "Signal" else {"job": {**JOB, "state": "STOPPING"}}}

    def _run(self, parameters: dict[str, Any], fds: list[int]) -> Iterator[dict[str, Any]]:
        self.request = parameters
        yield _reply("QUEUED", reason="2 of 2 CPUs in use", continues=True)
        if self.cancelled.wait(self.queued_for):
            yield _reply("DONE", result="killed", signal=15)
            return
        stdin, stdout, stderr = (fds[parameters[name]] for name in ("stdin", "stdout", "stderr"))
        session = ["setsid", "--ctty"] if parameters["terminal"] else ["setsid"]
        argv = [*session, *parameters["job"]["argv"]]
        with self._starting:
            self.child = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr)
        for fd in fds:
            os.close(fd)
        yield _reply("RUNNING", pid=self.child.pid, continues=True)
        if self.hangs_up:
            time.sleep(0.1)  # until the client has heard that it runs
            self.leave()
        yield self._done()

    def _done(self) -> dict[str, Any]:
        assert self.child is not None
        while (code := self.child.poll()) is None:
            time.sleep(0.01)
        if code < 0:
            return _reply("DONE", result="failed", signal=-code)
        return _reply("DONE", result="ok" if code == 0 else "failed", exit_code=code)


def _reply(state: str, *, continues: bool = False, **fields: object) -> dict[str, Any]:
    return {"parameters": {"job": {**JOB, "state": state, **fields}, "warnings": []}, "continues": continues}
