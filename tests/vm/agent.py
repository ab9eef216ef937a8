"""The guest's end of the control channel: runs what the host asks for and answers, JSON lines over a virtio port.

Runs inside the guest as a root service, on the guest's own Python: standard library only, imports nothing of ours.
Requests run side by side, so that one may wait for a job while another restarts the daemon.
"""

import base64
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

PORT = Path("/dev/virtio-ports/mlosd.agent")


def _execute(request: dict[str, Any]) -> dict[str, Any]:
    # Own session: on a timeout the whole process group goes, and signals of one request never reach another.
    process = subprocess.Popen(
        request["argv"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    try:
        out, err = process.communicate(base64.b64decode(request.get("stdin", "")), timeout=request["timeout"])
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        code, err = 124, err + b"\n(timed out)"
    return {"rc": code, "stdout": base64.b64encode(out).decode(), "stderr": base64.b64encode(err).decode()}


class Channel:
    """The port, written to by one thread at a time."""

    def __init__(self, port: BinaryIO) -> None:
        self._port = port
        self._writing = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        with self._writing:
            self._port.write(json.dumps(message).encode() + b"\n")
            self._port.flush()

    def serve(self) -> None:
        """Answer requests for ever. An empty read means that the host is not connected (yet)."""
        while True:
            line = self._port.readline()
            if line.strip():
                threading.Thread(target=self._answer, args=(json.loads(line),), daemon=True).start()
            elif not line:
                time.sleep(0.1)

    def _answer(self, request: dict[str, Any]) -> None:
        try:
            reply = _execute(request)
        except OSError as error:
            reply = {"rc": 127, "stdout": "", "stderr": base64.b64encode(str(error).encode()).decode()}
        self.send({"id": request["id"], **reply})


def main() -> None:
    while not PORT.exists():
        time.sleep(0.1)
    with open(PORT, "r+b", buffering=0) as raw:
        channel = Channel(_Duplex(raw.fileno()))  # type: ignore[arg-type]
        channel.send({"hello": Path("/proc/sys/kernel/random/boot_id").read_text().strip()})
        channel.serve()


class _Duplex:
    """Buffered lines in, whole writes out, over one descriptor that cannot seek."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines = os.fdopen(os.dup(fd), "rb", buffering=65536, closefd=True)

    def readline(self) -> bytes:
        return self._lines.readline()

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def flush(self) -> None:
        pass


if __name__ == "__main__":
    main()
