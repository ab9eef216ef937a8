"""A keeper's promises: nothing runs twice, nothing survives, no end is lost. native/keeper.c, stay.c, family.c."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.native.conftest import PROGRAM, Yard

from mlosd.kernel.shepherd import claim, read_exit, read_started, was_claimed


def until(true: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait for something that takes a moment."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def marked(mark: str) -> list[int]:
    """The processes with `mark` among their arguments."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                pids.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return pids


def a_mark(yard: Yard) -> str:
    return f"mark-{yard.path.parent.name}-{yard.path.name}-{os.getpid()}"


def python(yard: Yard, code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code, a_mark(yard))


def test_the_start_is_recorded_with_start_times(yard: Yard) -> None:
    jobdir = yard.job("exec sleep 60")
    with yard.keep(jobdir) as keeper:
        until(lambda: read_started(jobdir))
        started = read_started(jobdir)
        assert started is not None
        assert started.keeper == keeper.pid
        assert started.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert abs(started.at - time.time()) < 10
        for pid, start in ((started.keeper, started.keeper_start), (started.pid, started.pid_start)):
            assert int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) == start
        keeper.terminate()


def test_a_job_never_starts_twice(yard: Yard) -> None:
    jobdir = yard.job("echo ran >>ran")
    for _ in range(2):
        with yard.keep(jobdir) as keeper:
            keeper.wait(30)
    assert (yard.path / "ran").read_text() == "ran\n"
    assert keeper.returncode == 125
    record = read_exit(jobdir)
    assert record is not None
    assert record.code == 0


def test_a_claimed_job_does_not_start(yard: Yard) -> None:
    jobdir = yard.job("echo ran >>ran")
    assert not was_claimed(jobdir)
    assert claim(jobdir)
    assert not claim(jobdir)
    with yard.keep(jobdir) as keeper:
        keeper.wait(30)
    assert not (yard.path / "ran").exists()
    assert read_started(jobdir) is None
    assert read_exit(jobdir) is None


@pytest.mark.parametrize(
    "spec",
    [
        b"",
        b"nonsense",
        b"argv=true\0",
        b"id=7\0argv=true\0cwd=/\0uid=-1\0gid=0\0",
        b"id=7\0argv=a\0cwd=/\0uid=0\0gid=0",
    ],
)
def test_a_malformed_spec_is_refused(yard: Yard, spec: bytes) -> None:
    jobdir = yard.path / "job"
    jobdir.mkdir()
    (jobdir / "spec").write_bytes(spec)
    with yard.keep(jobdir) as keeper:
        assert keeper.wait(30) == 125
    record = read_exit(jobdir)
    assert record is not None
    assert (record.error_step, record.error_errno) == ("spec", errno.EINVAL)


def test_a_missing_spec_is_refused(yard: Yard) -> None:
    jobdir = yard.path / "job"
    jobdir.mkdir()
    with yard.keep(jobdir) as keeper:
        assert keeper.wait(30) == 125
    record = read_exit(jobdir)
    assert record is not None
    assert (record.error_step, record.error_errno) == ("spec", errno.ENOENT)


def test_a_process_that_forked_twice_and_left_the_session_dies_with_the_job(yard: Yard) -> None:
    code = (
        "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(60)\n os._exit(0)\nos.wait()"
    )
    record, _ = yard.run("", argv=python(yard, code), grace=5.0)
    assert record.code == 0
    assert not record.survivors
    assert marked(a_mark(yard)) == []


def test_what_is_left_behind_may_end_in_good_order(yard: Yard) -> None:
    record, _ = yard.run(
        "(trap 'echo saved >saved; exit' TERM; echo up >up; while :; do sleep 0.01; done) & until [ -e up ]; do :; done"
    )
    assert record.code == 0
    assert (yard.path / "saved").read_text() == "saved\n"


def test_a_job_that_ignores_sigterm_is_killed_after_its_grace(yard: Yard) -> None:
    jobdir = yard.job("trap '' TERM; echo up >up; while :; do sleep 0.05; done", grace=0.2)
    with yard.keep(jobdir) as keeper:
        until((yard.path / "up").exists)
        asked_at = time.monotonic()
        keeper.terminate()
        assert keeper.wait(30) == 128 + signal.SIGKILL
    assert 0.2 <= time.monotonic() - asked_at < 5
    record = read_exit(jobdir)
    assert record is not None
    assert record.signal == signal.SIGKILL


def test_a_job_that_obeys_sigterm_ends_at_once(yard: Yard) -> None:
    jobdir = yard.job("trap 'exit 9' TERM; echo up >up; while :; do sleep 0.01; done", grace=60.0)
    with yard.keep(jobdir) as keeper:
        until((yard.path / "up").exists)
        keeper.terminate()
        assert keeper.wait(30) == 9


def test_a_stopped_job_can_be_ended(yard: Yard) -> None:
    jobdir = yard.job("trap 'exit 9' TERM; kill -STOP $$", grace=60.0)
    with yard.keep(jobdir) as keeper:
        until(lambda: (record := read_started(jobdir)) and state(record.pid) == "T")
        keeper.terminate()
        assert keeper.wait(30) == 9


def test_a_job_can_be_frozen_thawed_and_killed_without_a_cgroup(yard: Yard) -> None:
    jobdir = yard.job("sleep 60 & wait")
    with yard.keep(jobdir) as keeper:
        until(lambda: read_started(jobdir))
        started = read_started(jobdir)
        assert started is not None
        until(lambda: children(started.pid))
        everybody = [started.pid, *children(started.pid)]
        keeper.send_signal(signal.SIGRTMIN + 1)
        until(lambda: {state(pid) for pid in everybody} == {"T"})
        keeper.send_signal(signal.SIGRTMIN + 2)
        until(lambda: "T" not in {state(pid) for pid in everybody})
        keeper.send_signal(signal.SIGRTMIN + 3)
        assert keeper.wait(30) == 128 + signal.SIGKILL
    assert not any(Path(f"/proc/{pid}").exists() for pid in everybody)


MAYFLY = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): os._exit(0)
while True:
    if os.fork(): os._exit(0)
    os.setsid()
"""


def test_a_process_that_is_always_another_does_not_get_away(yard: Yard) -> None:
    record, _ = yard.run("", argv=python(yard, MAYFLY), grace=0.1)
    assert not record.survivors
    assert marked(a_mark(yard)) == []


CROWD = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(6): os.fork()
if os.getpid() != os.getsid(0): os.setsid()
time.sleep(60)
"""


def test_a_crowd_that_ignores_sigterm_does_not_get_away(yard: Yard) -> None:
    jobdir = yard.job("", argv=python(yard, CROWD), grace=0.1)
    with yard.keep(jobdir) as keeper:
        until(lambda: len(marked(a_mark(yard))) == 64)
        keeper.terminate()
        keeper.wait(30)
    assert marked(a_mark(yard)) == []


def test_ready_is_told_once_the_command_runs(yard: Yard) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"mlos-test-{os.getpid()}"
        listener.bind(f"\0{name}")
        listener.settimeout(10)
        environment = {**os.environ, "NOTIFY_SOCKET": f"@{name}"}
        jobdir = yard.job("true")
        with yard.keep(jobdir, env=environment) as keeper:
            assert listener.recv(64) == b"READY=1"
            assert read_started(jobdir) is not None
            keeper.wait(30)


def test_the_usage_is_told(yard: Yard) -> None:
    done = subprocess.run([PROGRAM, "fly"], capture_output=True, check=False)
    assert done.returncode == os.EX_USAGE
    assert done.stderr.startswith(b"Usage: ")


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
