"""A job from submission to its recorded end, through the real daemon."""

import base64
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import Mlosd

from mlosd.core.errors import BadRequest, NotFound, Refused


def test_a_queued_job_runs_and_its_end_and_output_are_recorded(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("sh", "-c", "echo hello; echo there >&2; exit 3")
    job = mlosd.wait(id_)
    assert (job["state"], job["result"], job["exit_code"], job["reason"]) == ("DONE", "failed", 3, "exit code 3")
    assert mlosd.output(id_) == "hello\nthere\n"
    assert job["usage"]["cpu_us"] > 0
    assert job["submitted_at"] <= job["started_at"] <= job["ended_at"]


def test_a_job_knows_its_directory_its_environment_and_its_id(mlosd: Mlosd, tmp_path: Path) -> None:
    id_ = mlosd.submit(
        "sh", "-c", 'pwd; echo "$COLOUR $MLOSD_JOB_ID"; umask',
        cwd=str(tmp_path), environment={"COLOUR": "blue", "PATH": os.environ["PATH"]}, umask=0o027,
    )  # fmt: skip
    mlosd.wait(id_)
    assert mlosd.output(id_) == f"{tmp_path}\nblue {id_}\n0027\n"


def test_a_command_that_does_not_exist_ends_as_a_shell_would_say_it(mlosd: Mlosd) -> None:
    job = mlosd.wait(mlosd.submit("no-such-program"))
    assert (job["result"], job["exit_code"]) == ("failed", 127)
    assert "exec" in job["reason"]


def test_a_working_directory_that_vanished_is_named(mlosd: Mlosd, tmp_path: Path) -> None:
    job = mlosd.wait(mlosd.submit("true", cwd=str(tmp_path / "gone")))
    assert (job["result"], job["exit_code"]) == ("failed", 126)
    assert "chdir: No such file or directory" in job["reason"]


def test_a_full_machine_queues_with_a_reason_and_goes_on_when_there_is_room(mlosd: Mlosd) -> None:
    cpus = len(os.sched_getaffinity(0))
    first = mlosd.submit("sleep", "60", limits={"cpus": cpus})
    second = mlosd.submit("true")
    third = mlosd.submit("true")
    assert mlosd.show(second)["state"] == "QUEUED"
    assert mlosd.show(second)["reason"] == f"waits for 1 CPU: {cpus} of {cpus} in use"
    assert mlosd.show(third)["reason"] == f"waits behind job {second}"
    mlosd.call("io.mlosd.Jobs.Cancel", id=first)
    assert mlosd.wait(third)["result"] == "ok"


def test_a_higher_priority_goes_first(mlosd: Mlosd, tmp_path: Path) -> None:
    blocker = mlosd.submit("sleep", "60", limits={"cpus": len(os.sched_getaffinity(0))})
    order = tmp_path / "order"
    everything = {"cpus": len(os.sched_getaffinity(0))}
    low = mlosd.submit("sh", "-c", f"echo low >> {order}", limits=everything)
    high = mlosd.submit("sh", "-c", f"echo high >> {order}", priority=5, limits=everything)
    mlosd.call("io.mlosd.Jobs.Cancel", id=blocker)
    mlosd.wait(low)
    mlosd.wait(high)
    assert order.read_text() == "high\nlow\n"


def test_cpus_are_pinned_and_handed_out_once(mlosd: Mlosd) -> None:
    one = mlosd.submit("sleep", "60", limits={"cpus": 1})
    job = mlosd.wait(one, "RUNNING")
    assert os.sched_getaffinity(job["pid"]) == set(job["cpus"])
    assert len(job["cpus"]) == 1


def test_what_can_never_fit_is_refused_with_the_numbers(mlosd: Mlosd) -> None:
    with pytest.raises(Refused, match=r"1048576\.0 GiB of memory asked, this machine has .* GiB for jobs"):
        mlosd.submit("true", limits={"memory": 1 << 50})
    with pytest.raises(Refused, match="60000 CPUs asked"):
        mlosd.submit("true", limits={"cpus": 60000})
    assert mlosd.call("io.mlosd.Jobs.List", all=True)["jobs"] == []


def test_nonsense_is_refused_before_anything_is_recorded(mlosd: Mlosd) -> None:
    nonsense: tuple[dict[str, Any], ...] = (
        {"argv": []},
        {"cwd": "relative"},
        {"env": "staging"},
        {"class": "nope"},
        {"priority": 10**6},
        {"limits": {"cpus": 0}},
        {"environment": {"": "x"}},
        {"name": "two\nlines"},
    )
    for bad in nonsense:
        job = {"argv": ["true"], "cwd": "/", "environment": {}} | bad
        with pytest.raises(BadRequest):
            mlosd.call("io.mlosd.Jobs.Submit", job=job)
    assert mlosd.call("io.mlosd.Jobs.List", all=True)["jobs"] == []


def test_a_limit_that_cannot_be_enforced_is_said_or_with_strict_refused(mlosd: Mlosd) -> None:
    degraded = mlosd.call("io.mlosd.Daemon.Status")["degraded"]
    if not any("memory" in reason for reason in degraded):
        pytest.skip("this machine enforces memory limits")
    job = {"argv": ["true"], "cwd": "/", "environment": {}, "limits": {"memory": 1 << 26}}
    reply = mlosd.call("io.mlosd.Jobs.Submit", job=job)
    assert reply["warnings"][0].startswith("memory is not enforced: ")
    assert mlosd.wait(reply["id"])["notes"][0] == reply["warnings"][0]
    with pytest.raises(Refused, match="memory is not enforced"):
        mlosd.call("io.mlosd.Jobs.Submit", job=job | {"strict": True})


def test_cancel_gives_the_grace_period_and_says_how_it_went(mlosd: Mlosd) -> None:
    polite = mlosd.submit("sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    _wait_for_output(mlosd, polite, "up\n")
    mlosd.call("io.mlosd.Jobs.Cancel", id=polite)
    job = mlosd.wait(polite)
    assert (job["result"], job["exit_code"]) == ("killed", 0)
    assert "exited with 0 in the grace period" in job["reason"]


def test_a_job_that_ignores_sigterm_is_killed_after_its_grace(mlosd: Mlosd) -> None:
    stubborn = mlosd.submit("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done", grace=1)
    _wait_for_output(mlosd, stubborn, "up\n")
    mlosd.call("io.mlosd.Jobs.Cancel", id=stubborn)
    job = mlosd.wait(stubborn)
    assert (job["result"], job["signal"]) == ("killed", signal.SIGKILL)
    assert "killed after the grace period" in job["reason"]


def test_a_second_cancel_does_not_wait_for_the_grace(mlosd: Mlosd) -> None:
    stubborn = mlosd.submit("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done", grace=3600)
    _wait_for_output(mlosd, stubborn, "up\n")
    mlosd.call("io.mlosd.Jobs.Cancel", id=stubborn)
    mlosd.call("io.mlosd.Jobs.Cancel", id=stubborn)
    assert mlosd.wait(stubborn)["signal"] == signal.SIGKILL


def test_a_child_that_hid_in_a_session_of_its_own_dies_with_the_job(mlosd: Mlosd, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    hide = f"(setsid sh -c 'echo $$ > {pid_file}; exec sleep 600' &) ; while [ ! -s {pid_file} ]; do sleep 0.02; done"
    job = mlosd.wait(mlosd.submit("sh", "-c", hide, grace=1))
    assert job["result"] == "ok"
    assert not Path("/proc", pid_file.read_text().strip()).exists()


def test_time_that_is_over_ends_a_job(mlosd: Mlosd) -> None:
    job = mlosd.wait(mlosd.submit("sleep", "60", limits={"time": 1}))
    assert (job["result"], job["reason"]) == ("timeout", "its time of 1 s is over")


def test_a_frozen_job_stands_still_and_a_thawed_one_goes_on(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("sh", "-c", "while :; do date +%s%N; sleep 0.02; done")
    mlosd.wait(id_, "RUNNING")
    while not mlosd.output(id_):
        time.sleep(0.02)
    assert mlosd.call("io.mlosd.Jobs.Freeze", id=id_)["job"]["state"] == "FROZEN"
    time.sleep(0.2)
    before = mlosd.output(id_)
    time.sleep(0.3)
    assert mlosd.output(id_) == before
    mlosd.call("io.mlosd.Jobs.Thaw", id=id_)
    while mlosd.output(id_) == before:
        time.sleep(0.02)


def test_freezing_a_job_that_waits_holds_it(mlosd: Mlosd) -> None:
    blocker = mlosd.submit("sleep", "60", limits={"cpus": len(os.sched_getaffinity(0))})
    waiting = mlosd.submit("true")
    assert mlosd.call("io.mlosd.Jobs.Freeze", id=waiting)["job"]["state"] == "HELD"
    mlosd.call("io.mlosd.Jobs.Cancel", id=blocker)
    mlosd.wait(blocker)
    assert mlosd.show(waiting)["state"] == "HELD"
    mlosd.call("io.mlosd.Jobs.Thaw", id=waiting)
    assert mlosd.wait(waiting)["result"] == "ok"


def test_a_frozen_job_can_be_cancelled(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("sleep", "60")
    mlosd.wait(id_, "RUNNING")
    mlosd.call("io.mlosd.Jobs.Freeze", id=id_)
    mlosd.call("io.mlosd.Jobs.Cancel", id=id_)
    assert mlosd.wait(id_)["result"] == "killed"


def test_a_job_that_nobody_knows_is_not_found(mlosd: Mlosd) -> None:
    for method in ("Show", "Cancel", "Freeze", "Thaw", "Wait", "Logs"):
        with pytest.raises(NotFound, match="there is no job 99"):
            mlosd.call(f"io.mlosd.Jobs.{method}", id=99)


def test_output_is_followed_until_the_job_ends(mlosd: Mlosd) -> None:
    import base64

    id_ = mlosd.submit("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    with mlosd.connect() as connection:
        chunks = [reply["data"] for reply in connection.stream("io.mlosd.Jobs.Logs", {"id": id_, "follow": True})]
    assert b"".join(base64.b64decode(chunk) for chunk in chunks) == b"1\n2\n3\n"


def test_the_tail_of_the_output_is_its_last_lines(mlosd: Mlosd) -> None:
    import base64

    id_ = mlosd.submit("seq", "1", "100000")
    mlosd.wait(id_)
    tail = mlosd.call("io.mlosd.Jobs.Logs", id=id_, tail=2)["data"]
    assert base64.b64decode(tail) == b"99999\n100000\n"


def _wait_for_output(mlosd: Mlosd, id_: int, text: str) -> None:
    mlosd.wait(id_, "RUNNING")
    deadline = time.monotonic() + 20
    while mlosd.output(id_) != text:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_tail_of_a_huge_output_is_found_at_once(mlosd: Mlosd) -> None:
    hole = mlosd.submit("sh", "-c", "truncate -s 1T /dev/stdout")
    endless = mlosd.submit("sh", "-c", "head -c 80000000 /dev/zero | tr '\\0' x; echo; echo last")
    for id_ in (hole, endless):
        mlosd.wait(id_)
    before = time.monotonic()
    assert base64.b64decode(mlosd.call("io.mlosd.Jobs.Logs", id=endless, tail=1)["data"]) == b"last\n"
    for parameters in ({"id": hole, "tail": 5}, {"id": hole}, {"id": endless}):
        with pytest.raises(Refused, match="more than the 8 MiB that fit into one answer"):
            mlosd.call("io.mlosd.Jobs.Logs", **parameters)
    assert time.monotonic() - before < 2


def test_a_job_that_never_stops_printing_can_be_looked_at(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("timeout", "6", "yes")
    mlosd.wait(id_, "RUNNING")
    before = time.monotonic()
    with mlosd.connect() as connection:
        for _ in connection.stream("io.mlosd.Jobs.Logs", {"id": id_}):
            pass
    assert time.monotonic() - before < 4
    mlosd.call("io.mlosd.Jobs.Cancel", id=id_)


def test_whoever_follows_an_output_that_was_deleted_hears_of_the_end(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("sh", "-c", "echo first; sleep 1; echo second")
    mlosd.wait(id_, "RUNNING")
    seen = b""
    with mlosd.connect() as connection:
        for reply in connection.stream("io.mlosd.Jobs.Logs", {"id": id_, "follow": True}):
            seen += base64.b64decode(reply["data"])
            Path(mlosd.root, "lib", "output", f"{id_}.log").unlink(missing_ok=True)
    assert seen == b"first\nsecond\n"


def test_a_job_may_be_sent_any_signal_that_there_is(mlosd: Mlosd) -> None:
    id_ = mlosd.submit("bash", "-c", "trap 'echo got it; exit 0' RTMIN+3; echo ready; while :; do sleep 0.01; done")
    while not mlosd.output(id_):
        time.sleep(0.01)
    for number in (-1, 0, 32, 65, 2**31):
        with pytest.raises(BadRequest, match=f"there is no signal {number}"):
            mlosd.call("io.mlosd.Jobs.Signal", id=id_, signal=number)
    mlosd.call("io.mlosd.Jobs.Signal", id=id_, signal=signal.SIGRTMIN + 3)
    assert mlosd.wait(id_)["result"] == "ok"
    assert mlosd.output(id_).endswith("got it\n")  # its shell may tell of its child too
