"""Jobs on their client's own descriptors."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.fakes.daemon import Mlosd

from mlosd.client import Connection
from mlosd.core.errors import BadRequest


def run(connection: Connection, *argv: str, fds: tuple[int, int, int], **more: Any) -> Iterator[dict[str, Any]]:
    """The states of a foreground job."""
    job = {"argv": list(argv), "cwd": "/", "environment": dict(os.environ), **more}
    parameters = {"job": job, "stdin": 0, "stdout": 1, "stderr": 2, "terminal": False}
    return (reply["job"] for reply in connection.call_with_fds("io.mlosd.Jobs.Run", parameters, fds=fds))


def test_a_foreground_job_reads_and_writes_the_clients_own_files(mlosd: Mlosd) -> None:
    read_in, write_in = os.pipe()
    read_out, write_out = os.pipe()
    os.write(write_in, b"hello\n")
    os.close(write_in)
    with mlosd.connect() as connection:
        *_, last = run(connection, "sh", "-c", "tr a-z A-Z; exit 4", fds=(read_in, write_out, write_out))
    os.close(write_out)
    assert (last["state"], last["exit_code"]) == ("DONE", 4)
    assert os.read(read_out, 100) == b"HELLO\n"
    assert os.read(read_out, 100) == b""  # nobody, the daemon included, holds the other end
    for fd in (read_in, read_out):
        os.close(fd)


def test_a_client_that_hangs_up_ends_its_job_as_a_closed_terminal_does(mlosd: Mlosd) -> None:
    with mlosd.connect() as connection:
        states = run(connection, "sleep", "600", fds=(0, 1, 2))
        id_ = next(job["id"] for job in states if job["state"] == "RUNNING")
    job = mlosd.wait(id_)
    assert (job["result"], job["reason"]) == ("failed", "ended by SIGHUP")


def test_a_client_that_hangs_up_while_it_waits_is_forgotten(mlosd: Mlosd) -> None:
    blocker = mlosd.submit("sleep", "600", limits={"cpus": len(os.sched_getaffinity(0))})
    with mlosd.connect() as connection:
        waiting = next(run(connection, "true", fds=(0, 1, 2)))
        assert waiting["state"] == "QUEUED"
    deadline = time.monotonic() + 10
    while mlosd.show(waiting["id"])["state"] != "DONE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert mlosd.show(waiting["id"])["reason"] == "its terminal was closed"
    assert mlosd.wait(blocker, "RUNNING")["state"] == "RUNNING"


def test_a_refused_foreground_job_leaves_no_descriptor_in_the_daemon(mlosd: Mlosd) -> None:
    assert mlosd.process is not None
    read_end, write_end = os.pipe()
    with mlosd.connect() as connection, pytest.raises(BadRequest):
        next(run(connection, "true", fds=(0, write_end, write_end), env="nowhere"))
    os.close(write_end)
    assert os.read(read_end, 1) == b""
    os.close(read_end)


def test_the_output_of_a_foreground_job_is_not_kept(mlosd: Mlosd) -> None:
    with mlosd.connect() as connection:
        *_, last = run(connection, "true", fds=(0, 1, 2))
    with pytest.raises(Exception, match="ran in the foreground"):
        mlosd.output(last["id"])


def lingering() -> tuple[socket.socket, socket.socket]:
    """A connection whose last close(2) waits for a reader that does not read, and that reader."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connected = socket.create_connection(server.getsockname())
        reader, _ = server.accept()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 15))
    connected.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            connected.send(bytes(65536))
    return connected, reader


def seconds_to_answer(mlosd: Mlosd) -> float:
    before = time.monotonic()
    mlosd.call("io.mlosd.Daemon.Status")
    return time.monotonic() - before


def test_a_descriptor_that_is_slow_to_close_keeps_nobody_else_waiting(mlosd: Mlosd) -> None:
    output, reader = lingering()
    with reader, mlosd.connect() as connection:
        replies = run(connection, "sleep", "0.2", fds=(0, output.fileno(), output.fileno()))
        next(replies)
        output.close()
        before = time.monotonic()
        for _ in replies:
            seconds_to_answer(mlosd)
        assert time.monotonic() - before < 5


def test_a_descriptor_that_nobody_received_keeps_nobody_else_waiting(mlosd: Mlosd) -> None:
    output, reader = lingering()
    with reader:
        connections = [socket.socket(socket.AF_UNIX) for _ in range(70)]
        for connection in connections:
            connection.connect(os.fspath(mlosd.socket))
            with suppress(BrokenPipeError):  # more than one user may have: the last are turned away unread
                socket.send_fds(connection, [b"{"], [output.fileno()])
        output.close()
        for connection in connections:
            connection.close()
        time.sleep(0.2)
        assert seconds_to_answer(mlosd) < 5
