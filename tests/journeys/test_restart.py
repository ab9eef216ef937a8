"""Jobs outlive the daemon: it may be stopped, killed or started again at any moment."""

import os
import signal
import time
from pathlib import Path

import pytest
from tests.fakes.daemon import Mlosd

from mlosd.core.errors import Unreachable


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_running_job_keeps_its_pid_and_its_end_is_recorded_afterwards(mlosd: Mlosd, how: str, tmp_path: Path) -> None:
    go = tmp_path / "go"
    id_ = mlosd.submit("sh", "-c", f"echo before; until test -e {go}; do sleep 0.1; done; echo after; exit 7")
    before = mlosd.wait(id_, "RUNNING")
    getattr(mlosd, how)()
    mlosd.start()
    again = mlosd.show(id_)
    assert (again["state"], again["pid"]) == ("RUNNING", before["pid"])
    go.touch()
    job = mlosd.wait(id_)
    assert (job["result"], job["exit_code"]) == ("failed", 7)
    assert job["usage"]["cpu_us"] > 0
    assert mlosd.output(id_) == "before\nafter\n"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_job_that_ended_while_the_daemon_was_away_is_recorded(mlosd: Mlosd, how: str) -> None:
    id_ = mlosd.submit("sh", "-c", "sleep 0.5; exit 5")
    mlosd.wait(id_, "RUNNING")
    getattr(mlosd, how)()
    time.sleep(1)
    mlosd.start()
    job = mlosd.wait(id_)
    assert (job["result"], job["exit_code"]) == ("failed", 5)


def test_queued_held_and_frozen_jobs_are_what_they_were(mlosd: Mlosd) -> None:
    frozen = mlosd.submit("sleep", "600")
    mlosd.wait(frozen, "RUNNING")
    mlosd.call("io.mlosd.Jobs.Freeze", id=frozen)
    blockers = [mlosd.submit("sleep", "600") for _ in range(3)]
    held = mlosd.submit("true")
    mlosd.call("io.mlosd.Jobs.Freeze", id=held)
    queued = mlosd.submit("true")
    before = {id_: mlosd.show(id_)["state"] for id_ in (frozen, *blockers, held, queued)}
    mlosd.kill()
    mlosd.start()
    assert {id_: mlosd.show(id_)["state"] for id_ in before} == before
    assert (before[frozen], before[held], before[queued]) == ("FROZEN", "HELD", "QUEUED")


def test_a_time_limit_goes_on_counting(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("sleep", "600", limits={"time": 2})
    mlosd.wait(id_, "RUNNING")
    mlosd.kill()
    mlosd.start()
    started = time.monotonic()
    assert mlosd.wait(id_)["result"] == "timeout"
    assert time.monotonic() - started < 15


def test_a_keeper_that_was_killed_leaves_a_job_that_is_lost_and_nothing_running(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("sleep", "600")
    job = mlosd.wait(id_, "RUNNING")
    keeper = int(_stat(job["pid"]).split(")")[1].split()[1])
    signal.pidfd_send_signal(_pidfd(keeper), signal.SIGKILL)
    job = mlosd.wait(id_)
    assert (job["result"], job["reason"]) == ("lost", "its keeper was killed; nobody saw the end")
    deadline = time.monotonic() + 10
    while job["pid"] and Path("/proc", str(job["pid"])).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_is_left_of_a_job_whose_end_was_recorded_is_swept_away(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("true")
    mlosd.wait(id_)
    mlosd.stop()
    directory = mlosd.root / "run" / "jobs" / str(id_)
    directory.mkdir()
    (directory / "spec").write_bytes(b"")
    (directory / "exit").write_bytes(b"code=0\nend\n")
    mlosd.start()
    assert not directory.exists()
    assert mlosd.show(id_)["result"] == "ok"


def test_a_second_daemon_on_the_same_state_is_refused(mlosd: Mlosd) -> None:
    import subprocess
    import sys

    second = subprocess.run(
        [sys.executable, "-m", "mlosd.daemon.main", "--root", mlosd.root], capture_output=True, text=True, check=False
    )
    assert second.returncode == 73  # EX_CANTCREAT
    assert f"in use by another mlosd (pid {mlosd.process and mlosd.process.pid})" in second.stderr
    assert mlosd.call("io.mlosd.Daemon.Status")["pid"] == (mlosd.process and mlosd.process.pid)


def test_a_daemon_that_was_stopped_does_not_answer(mlosd: Mlosd) -> None:
    assert mlosd.stop() == 0
    with pytest.raises(Unreachable):
        mlosd.call("io.mlosd.Daemon.Status")
    mlosd.start()


def _stat(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text()


def _pidfd(pid: int) -> int:
    import os

    return os.pidfd_open(pid)


def test_a_job_whose_keeper_is_killed_is_lost_whole(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("sh", "-c", "setsid sleep 600 & echo $!; exec sleep 600")
    running = mlosd.wait(id_, "RUNNING")
    while not mlosd.output(id_):
        time.sleep(0.01)
    pids = (running["pid"], int(mlosd.output(id_)))
    keeper = int(Path(f"/proc/{running['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGKILL)
    job = mlosd.wait(id_)
    assert (job["result"], job["reason"]) == ("lost", "its keeper was killed; nobody saw the end")
    deadline = time.monotonic() + 5
    # Without a cgroup whoever left the process group cannot be found any more.
    while any(Path(f"/proc/{pid}").exists() for pid in pids[: 2 if running["cgroup"] else 1]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while running["cgroup"] and Path(running["cgroup"]).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_its_database_no_new_job_gets_what_is_an_old_ones(mlosd: Mlosd) -> None:
    old = mlosd.wait(mlosd.submit("sleep", "600"), "RUNNING")
    mlosd.kill()
    for file in (mlosd.root / "lib").glob("mlosd.db*"):
        file.unlink()
    mlosd.start()
    try:
        new = mlosd.wait(mlosd.submit("echo", "new"))
        assert (new["id"], new["argv"], new["result"]) == (old["id"] + 1, ["echo", "new"], "ok")
        assert f"job {old['id']} runs, and the database does not know it" in mlosd.log.read_text()
        assert Path(f"/proc/{old['pid']}").exists()
    finally:
        os.kill(old["pid"], signal.SIGKILL)


def test_the_output_of_a_job_that_the_database_lost_is_not_a_new_ones(mlosd: Mlosd) -> None:
    secret = mlosd.submit("echo", "secret")
    mlosd.wait(secret)
    mlosd.stop()
    for file in (mlosd.root / "lib").glob("mlosd.db*"):
        file.unlink()
    mlosd.start()
    again = mlosd.submit("echo", "new")
    mlosd.wait(again)
    assert again == secret
    assert mlosd.output(again) == "new\n"
