"""Whether ML mode stays while the daemon is away: it comes back, and whoever holds the mode is still there."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.manager import Manager
from tests.fakes.tree import materialize

from mlosd.undo import survivors
from mlosd.undo.systemd import Systemd

BOOTED = time.clock_gettime(time.CLOCK_BOOTTIME)


def myself(**other: Any) -> dict[str, Any]:
    return {"who": "pid of a test", "pid": os.getpid(), "starttime": survivors.starttime(os.getpid()), **other}


def dead_pid() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def cgroup(root: Path, events: str) -> dict[str, Any]:
    return {"who": "a job", "cgroup": str(materialize(root, {"group/cgroup.events": events}) / "group")}


def lives(root: Path) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """What is written of a holder, and whether it still holds."""
    yield "a process", myself(), True
    yield "a process that starts with a string of digits", {**myself(), "starttime": str(myself()["starttime"])}, True
    yield "a pid that somebody else has now", myself(starttime=1), False
    yield "a pid of nobody", {"who": "x", "pid": dead_pid(), "starttime": 1}, False
    yield "a pid without its start time", {"who": "x", "pid": os.getpid()}, False
    yield "a process until later", myself(until=BOOTED + 3600), True
    yield "a process until a moment ago", myself(until=BOOTED - 1), False
    yield "a time to come", {"who": "x", "until": BOOTED + 3600}, True
    yield "a time that is over", {"who": "x", "until": BOOTED - 1}, False
    yield "a cgroup with processes", cgroup(root / "1", "populated 1\nfrozen 0\n"), True
    yield "a cgroup without", cgroup(root / "2", "populated 0\nfrozen 0\n"), False
    yield "a cgroup that is gone", {"who": "x", "cgroup": str(root / "gone")}, False
    yield "whoever said: until I say so", {"who": "x", "held": True}, True
    yield "nothing", {"who": "x"}, False
    yield "nonsense", {"who": "x", "pid": "seven", "starttime": [], "until": "noon"}, False


def test_who_still_holds_the_mode_is_what_the_kernel_says(tmp_path: Path) -> None:
    for what, lease, is_alive in lives(tmp_path):
        assert survivors.is_alive(lease) is is_alive, what


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('{"leases": [{"who": "x"}, 7]}', 1),
        ('{"leases": []}', 0),
        ('{"leases": 7}', 0),
        ("[]", 0),
        ("{}", 0),
        ("{", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_a_list_of_leases_that_is_damaged_has_none(tmp_path: Path, text: str | None, count: int) -> None:
    if text is not None:
        (tmp_path / survivors.FILE).write_text(text)
    assert len(survivors.read(tmp_path)) == count


# (what systemd says of the stop, the job that it has for the daemon) -> whether the daemon comes back
COMES_BACK = {
    (None, None): False,  # not after a stop at all: somebody typed the command
    ("success", None): False,
    ("signal", None): True,
    ("oom-kill", None): True,
    ("watchdog", None): True,
    ("success", "restart"): True,
    ("success", "start"): True,
    ("signal", "stop"): False,
}


@pytest.mark.parametrize(("result", "job"), COMES_BACK)
def test_the_mode_stays_only_for_a_daemon_that_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: str | None, job: str | None
) -> None:
    monkeypatch.delenv("SERVICE_RESULT", raising=False)
    if result is not None:
        monkeypatch.setenv("SERVICE_RESULT", result)
    leases(tmp_path, myself())
    with daemon(tmp_path, job) as pid1, contextlib.closing(Systemd(pid1.socket)) as systemd:
        who = survivors.keep(tmp_path, systemd)
    assert who == ("pid of a test" if COMES_BACK[result, job] else None)


def daemon(folder: Path, job: str | None) -> Manager:
    """PID 1, which has this job to do for the daemon's unit."""
    unit = {"Job": [7, "/job/7"] if job else [0, "/"]}
    pid1 = Manager(folder, {survivors.UNIT: unit})
    if job:
        pid1.jobs["/job/7"] = job
    return pid1


def leases(folder: Path, *held: Mapping[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / survivors.FILE).write_text(json.dumps({"leases": held}))


def test_where_pid_1_cannot_be_asked_everything_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_RESULT", "signal")
    leases(tmp_path, myself())
    assert survivors.keep(tmp_path, Systemd(tmp_path / "nobody")) is None


def test_a_lease_without_a_name_holds_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_RESULT", "signal")
    leases(tmp_path, {"held": True})
    with daemon(tmp_path, None) as pid1, contextlib.closing(Systemd(pid1.socket)) as systemd:
        assert survivors.keep(tmp_path, systemd) == "somebody"


@pytest.mark.parametrize(("state", "stays"), [("activating", True), ("active", True), ("failed", False)])
def test_after_a_failure_it_stays_while_systemd_starts_the_daemon_again(
    tmp_path: Path, state: str, stays: bool
) -> None:
    leases(tmp_path, myself())
    manager = Manager(tmp_path, {survivors.UNIT: {"ActiveState": state}})
    with manager as pid1, contextlib.closing(Systemd(pid1.socket)) as systemd:
        assert (survivors.keep(tmp_path, systemd, after="failure") is not None) is stays
