"""The sandbox of those who look into files, on the live kernel: what they can still do is what they were given."""

import asyncio
import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlosd.content.reader import Reader
from mlosd.content.sandbox import NOBODY, Pace, enter
from mlosd.kernel.fstat import fstat

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else"),
]

REFUSED = {errno.EPERM, errno.EACCES}


def confined(work: Callable[[], Any], pace: Pace = Pace.BULK) -> Any:
    """What `work` returns, or the errno that it fails with, in a child that has confined itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            layers = enter(pace)
            lacking = [layer.name for layer in layers if layer.lacking]
            try:
                answer: Any = work()
            except OSError as e:
                answer = {"errno": e.errno}
            os.write(writing, json.dumps([lacking, answer]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    lacking, answer = json.loads(data)
    assert lacking == []
    return answer


def libc(function: str, *arguments: object) -> None:
    if getattr(LIBC, function)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), function)


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fork  # noqa: B018 - looked up before files cannot be opened

ATTEMPTS: dict[str, Callable[[], Any]] = {
    "open a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "make a file": lambda: os.open("/tmp/mlosd-test-made", os.O_CREAT | os.O_WRONLY),
    "look at a file": Path("/etc/passwd").stat,
    "look at a link": Path("/proc/self/exe").readlink,
    "list a directory": lambda: [*Path("/").iterdir()],
    "remove a file": Path("/tmp/mlosd-test-made").unlink,
    "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "make a Unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "fork": os.fork,
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "trace another": lambda: libc("ptrace", 16, os.getppid(), 0, 0),
    "send a signal": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "become root": lambda: os.setuid(0),
    "make executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC).close(),
    "raise its limits": lambda: libc("setrlimit", resource.RLIMIT_NOFILE, (ctypes.c_ulong * 2)(4096, 4096)),
    "unshare": lambda: libc("unshare", 0x10000000),
    "mount": lambda: libc("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "control a device": lambda: fcntl.ioctl(1, 0x5401, bytes(64)),
    "change its name": lambda: libc("prctl", 15, b"other", 0, 0, 0),
}


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_a_confined_process_is_refused_everything(attempt: str) -> None:
    answer = confined(ATTEMPTS[attempt])
    assert isinstance(answer, dict), answer
    assert answer["errno"] in REFUSED


def test_without_seccomp_the_other_layers_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlosd.content.sandbox.seccomp_given_fds_only", lambda: None)
    secret = Path("/etc/shadow")
    assert confined(lambda: os.open("/etc/passwd", os.O_RDONLY)) == {"errno": errno.EACCES}  # Landlock
    assert confined(lambda: os.open(secret, os.O_RDONLY)) == {"errno": errno.EACCES}
    assert confined(lambda: os.execv("/bin/true", ["true"])) == {"errno": errno.EACCES}
    assert confined(os.fork) == {"errno": errno.EAGAIN}  # RLIMIT_NPROC
    assert confined(lambda: os.setuid(0)) == {"errno": errno.EPERM}
    assert confined(lambda: [*os.getresuid(), *os.getresgid(), *os.getgroups()]) == [NOBODY] * 6


def test_it_reads_what_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    (tmp_path / "f").chmod(0o600)
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    assert confined(lambda: [os.pread(fd, 100, 0).decode(), fstat(fd).size]) == ["content", 7]
    os.close(fd)


def test_only_the_pace_that_copies_can_write(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    assert confined(lambda: os.pwrite(fd, b"x", 0), Pace.BULK) == {"errno": errno.EFBIG}
    assert confined(lambda: os.pwrite(fd, b"x", 0), Pace.CAPTURE) == 1
    os.close(fd)


def test_memory_is_bounded() -> None:
    def take() -> bool:
        try:
            bytearray(2 << 30)
        except MemoryError:
            return True
        return False

    assert confined(take) is True


def test_the_worker_is_nobody_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")

    async def go() -> tuple[dict[str, str], int, list[str]]:
        reader = Reader()
        fd = os.open(tmp_path / "f", os.O_RDONLY)
        await reader.read(fd, name=b"f")
        os.close(fd)
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        [pid] = [child for child in children if b"mlosd.content.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        fds = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        policy = os.sched_getscheduler(int(pid))
        await reader.close()
        return status, policy, fds

    status, policy, fds = asyncio.run(go())
    assert set(status["Uid"].split() + status["Gid"].split()) == {str(NOBODY)}
    assert status["Groups"].strip() == ""
    assert {status[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert policy == os.SCHED_IDLE
    # Its socket, /dev/null, and nothing of the file that it read.
    assert sorted({fd.split(":")[0] for fd in fds}) == ["/dev/null", "socket"]


def test_a_parser_that_does_not_end_is_ended_by_the_kernel(tmp_path: Path) -> None:
    """In a program of its own, whose formats have one that never returns."""
    program = tmp_path / "worker.py"
    program.write_text(
        "import sys\n"
        "from mlosd.content import describe, worker\n"
        "def forever(window):\n"
        "    if window.head == b'loop':\n"
        "        while True: pass\n"
        "    return describe.describe(window)\n"
        "worker.describe = forever\n"
        "worker.CPU_SECONDS = 0.3\n"
        "sys.exit(worker.main())\n"
    )
    (tmp_path / "loop").write_bytes(b"loop")
    (tmp_path / "good").write_bytes(b"a,b\n1,2\n3,4\n")

    async def go() -> list[Any]:
        reader = Reader()
        loop, good = (os.open(tmp_path / name, os.O_RDONLY) for name in ("loop", "good"))
        answers = await reader.read_many([(good, b"good.csv"), (loop, b"loop"), (good, b"good.csv")])
        os.close(loop)
        os.close(good)
        await reader.close()
        return answers

    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nshift 3\nexec {sys.executable} -P {program} "$@"\n')
    wrapper.chmod(0o755)
    before = sys.executable
    began = time.monotonic()
    try:
        sys.executable = str(wrapper)
        first, second, third = asyncio.run(go())
    finally:
        sys.executable = before
    assert second.reason == "took too long"
    assert first == third
    assert first.identity.format == "csv"
    assert time.monotonic() - began < 20
