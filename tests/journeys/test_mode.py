"""ML mode, by the real daemon, on a machine made of files: entered, left, killed, restarted, fought over."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.mode_machine import ModeMlosd

from mlosd.core.errors import BadConfig, BadRequest, NotFound, Refused

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy2/scaling_governor"
SWAPPINESS = "proc/sys/vm/swappiness"
IRQ = "proc/irq/21/smp_affinity_list"
UNDO = Path(__file__).resolve().parents[2] / "src/mlosd/undo"


@pytest.fixture
def mlosd(tmp_path: Path) -> Iterator[ModeMlosd]:
    with ModeMlosd(tmp_path) as daemon:
        yield daemon


def enter(mlosd: ModeMlosd, **asked: Any) -> dict[str, Any]:
    reply: dict[str, Any] = mlosd.call("io.mlosd.Mode.Enter", asked=asked)
    return reply


def status(mlosd: ModeMlosd) -> dict[str, Any]:
    mode: dict[str, Any] = mlosd.call("io.mlosd.Mode.Status")["mode"]
    return mode


def eventually(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def offline(mlosd: ModeMlosd) -> subprocess.CompletedProcess[str]:
    log = mlosd.root / "run/mode/undo.log"
    command = [sys.executable, "-I", "-S", str(UNDO), "--log", str(log), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_entering_changes_the_machine_and_leaving_puts_everything_back(mlosd: ModeMlosd) -> None:
    before = mlosd.snapshot()
    reply = enter(mlosd, cpus="2")
    assert reply["mode"]["state"] == "on"
    assert (mlosd.read(GOVERNOR), mlosd.read(IRQ), mlosd.read(SWAPPINESS)) == ("performance", "0,3", "10")
    mlosd.call("io.mlosd.Mode.Leave", lease=reply["lease"]["id"])
    assert mlosd.snapshot() == before
    assert status(mlosd)["state"] == "off"
    assert not (mlosd.root / "run/mode/undo.log").exists()


def test_a_plan_says_every_write_and_writes_nothing(mlosd: ModeMlosd) -> None:
    before = mlosd.snapshot()
    plan = mlosd.call("io.mlosd.Mode.Plan", asked={"cpus": "1-2"})
    assert mlosd.snapshot() == before
    written = [step for step in plan["steps"] if step["what"] in ("set", "void")]
    changes = {step["target"]: (step["now"], step["value"]) for step in written}
    assert changes[str(mlosd.machine / GOVERNOR)] == ("powersave", "performance")
    assert (plan["training"], plan["housekeeping"]) == ("1-2", "0,3")
    enter(mlosd, cpus="1-2")
    after = mlosd.snapshot()
    changed = {str(mlosd.machine / name) for name in after if after[name] != before[name]}
    assert changed == {t if t != str(mlosd.machine / "proc/sys/vm/dirty") else f"{t}_ratio" for t in changes}


def test_the_mode_stays_until_the_last_lease_is_gone(mlosd: ModeMlosd) -> None:
    first = enter(mlosd)["lease"]["id"]
    enter(mlosd, seconds=3600.0)
    mlosd.call("io.mlosd.Mode.Leave", lease=first)
    assert mlosd.read(GOVERNOR) == "performance"
    mlosd.call("io.mlosd.Mode.Leave")
    assert mlosd.read(GOVERNOR) == "powersave"


def test_a_lease_ends_with_its_process(mlosd: ModeMlosd) -> None:
    holder = subprocess.Popen(["sleep", "600"])
    try:
        assert enter(mlosd, pid=holder.pid)["lease"]["pid"] == holder.pid
    finally:
        holder.kill()
        holder.wait()
    eventually(lambda: mlosd.read(GOVERNOR) == "powersave")
    assert status(mlosd)["leases"] == []


def test_a_lease_ends_when_its_time_is_over(mlosd: ModeMlosd) -> None:
    enter(mlosd, seconds=0.2)
    eventually(lambda: mlosd.read(GOVERNOR) == "powersave")


def test_a_training_job_brings_the_mode_and_takes_it_away(mlosd: ModeMlosd) -> None:
    job = mlosd.submit("sleep", "600", limits={"cpus": 1})
    eventually(lambda: status(mlosd)["state"] == "on")
    [lease] = status(mlosd)["leases"]
    assert (lease["job"], lease["implied"]) == (job, True)
    mlosd.call("io.mlosd.Jobs.Cancel", id=job)
    mlosd.wait(job)
    eventually(lambda: status(mlosd)["state"] == "off")
    assert mlosd.read(GOVERNOR) == "powersave"


@pytest.mark.parametrize("other", [{"class": "ci"}, {"env": "prod"}], ids=str)
def test_a_job_of_ci_or_in_production_brings_no_mode(mlosd: ModeMlosd, other: dict[str, str]) -> None:
    mlosd.wait(mlosd.submit("sleep", "600", **other), "RUNNING")
    training = mlosd.submit("sleep", "600")
    eventually(lambda: status(mlosd)["state"] == "on")
    assert [lease["job"] for lease in status(mlosd)["leases"]] == [training]


def test_a_frozen_job_holds_nothing(mlosd: ModeMlosd) -> None:
    job = mlosd.submit("sleep", "600")
    eventually(lambda: status(mlosd)["state"] == "on")
    mlosd.call("io.mlosd.Jobs.Freeze", id=job)
    eventually(lambda: status(mlosd)["state"] == "off")
    mlosd.call("io.mlosd.Jobs.Thaw", id=job)
    eventually(lambda: status(mlosd)["state"] == "on")


def test_until_a_job_ends(mlosd: ModeMlosd) -> None:
    job = mlosd.submit("sleep", "600", **{"class": "ci"})
    mlosd.wait(job, "RUNNING")
    enter(mlosd, job=job)
    mlosd.call("io.mlosd.Jobs.Cancel", id=job)
    eventually(lambda: status(mlosd)["state"] == "off")


def test_a_daemon_that_is_killed_leaves_a_log_from_which_everything_is_put_back(mlosd: ModeMlosd) -> None:
    before = mlosd.snapshot()
    enter(mlosd, cpus="2")
    mlosd.kill()
    assert mlosd.read(GOVERNOR) == "performance"
    ran = offline(mlosd)
    assert (ran.returncode, mlosd.snapshot()) == (0, before)
    assert len(json.loads(ran.stdout)["restored"]) == 10
    mlosd.start()
    assert status(mlosd)["state"] == "off"


def test_a_daemon_that_comes_back_goes_on_with_the_mode_for_who_still_holds_it(mlosd: ModeMlosd) -> None:
    before = mlosd.snapshot()
    holder = subprocess.Popen(["sleep", "600"])
    try:
        lease = enter(mlosd, pid=holder.pid, cpus="2")["lease"]
        changed = mlosd.snapshot()
        mlosd.kill()
        mlosd.start()
        assert (status(mlosd)["state"], mlosd.snapshot()) == ("on", changed)
        assert [one["id"] for one in status(mlosd)["leases"]] == [lease["id"]]
    finally:
        holder.kill()
        holder.wait()
    eventually(lambda: mlosd.snapshot() == before)


def test_a_daemon_that_comes_back_to_nobody_puts_everything_back(mlosd: ModeMlosd) -> None:
    before = mlosd.snapshot()
    holder = subprocess.Popen(["sleep", "600"])
    enter(mlosd, pid=holder.pid)
    mlosd.kill()
    holder.kill()
    holder.wait()
    mlosd.start()
    assert (status(mlosd)["state"], mlosd.snapshot()) == ("off", before)


def test_the_mode_of_a_job_goes_on_over_a_killed_daemon(mlosd: ModeMlosd) -> None:
    job = mlosd.submit("sleep", "600")
    eventually(lambda: status(mlosd)["state"] == "on")
    [lease] = status(mlosd)["leases"]
    mlosd.kill()
    mlosd.start()
    assert [one["id"] for one in status(mlosd)["leases"]] == [lease["id"]]
    mlosd.call("io.mlosd.Jobs.Cancel", id=job)
    eventually(lambda: mlosd.read(GOVERNOR) == "powersave")


def test_a_daemon_that_is_told_to_stop_without_systemd_puts_everything_back(mlosd: ModeMlosd) -> None:
    before = mlosd.snapshot()
    enter(mlosd)
    mlosd.stop()
    assert mlosd.snapshot() == before


def test_what_somebody_else_changes_is_set_again_and_after_some_fights_left_to_them(mlosd: ModeMlosd) -> None:
    enter(mlosd)
    for _ in range(3):
        mlosd.write(SWAPPINESS, "77")
        eventually(lambda: mlosd.read(SWAPPINESS) == "10")
    mlosd.write(SWAPPINESS, "77")
    eventually(lambda: any(step["what"] == "yielded" for step in status(mlosd)["steps"]))
    mlosd.call("io.mlosd.Mode.Leave")
    assert mlosd.read(SWAPPINESS) == "77"
    assert mlosd.read(GOVERNOR) == "powersave"


def test_what_was_changed_while_nobody_looked_is_left_and_named(mlosd: ModeMlosd) -> None:
    enter(mlosd)
    mlosd.kill()
    mlosd.write(SWAPPINESS, "33")
    ran = offline(mlosd)
    assert mlosd.read(SWAPPINESS) == "33"
    assert json.loads(ran.stdout)["kept"] == [{"target": str(mlosd.machine / SWAPPINESS), "now": "33", "was": "60"}]
    mlosd.start()


def test_verify_tells_what_is_not_as_it_was_set(tmp_path: Path) -> None:
    with ModeMlosd(tmp_path, "fights = 0") as mlosd:
        enter(mlosd)
        assert all(one["says"] != "differs" for one in mlosd.call("io.mlosd.Mode.Verify")["findings"])
        (mlosd.machine / SWAPPINESS).unlink()
        (mlosd.machine / SWAPPINESS).write_text("1\n")  # a new inode: no watch sees it
        [differs] = [one for one in mlosd.call("io.mlosd.Mode.Verify")["findings"] if one["says"] == "differs"]
        assert (differs["target"], differs["now"]) == (str(mlosd.machine / SWAPPINESS), "1")


def test_what_the_administrator_pinned_is_left_alone(tmp_path: Path) -> None:
    with ModeMlosd(tmp_path, 'pinned = ["scaling-governor", "*/irq/21/*"]') as mlosd:
        (mlosd.machine / "etc/sysctl.d").mkdir()
        (mlosd.machine / "etc/sysctl.d/99-mine.conf").write_text("vm.swappiness = 60\n")
        steps = enter(mlosd, cpus="2")["mode"]["steps"]
        assert (mlosd.read(GOVERNOR), mlosd.read(IRQ), mlosd.read(SWAPPINESS)) == ("powersave", "0-3", "60")
        assert mlosd.read("proc/irq/22/smp_affinity_list") == "0,3"
        pinned = {step["target"].removeprefix(f"{mlosd.machine}/") for step in steps if step["what"] == "pinned"}
        assert {GOVERNOR, IRQ, SWAPPINESS} <= pinned


def test_a_core_knob_that_is_refused_leaves_nothing_behind(mlosd: ModeMlosd) -> None:
    (mlosd.machine / GOVERNOR).unlink()
    (mlosd.machine / GOVERNOR).symlink_to("/proc/version")  # takes no write
    before = mlosd.snapshot()
    with pytest.raises(Refused, match="scaling-governor"):
        enter(mlosd)
    assert (mlosd.snapshot(), status(mlosd)["state"], status(mlosd)["leases"]) == (before, "off", [])


def test_an_optional_knob_that_is_refused_is_listed(mlosd: ModeMlosd) -> None:
    (mlosd.machine / SWAPPINESS).unlink()
    (mlosd.machine / SWAPPINESS).symlink_to("/proc/uptime")
    mode = enter(mlosd)["mode"]
    assert [step["knob"] for step in mode["steps"] if step["what"] == "refused"] == ["swappiness"]
    assert mlosd.read(GOVERNOR) == "performance"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a file that takes no write for a while")
def test_a_failed_restore_drains_the_mode_until_it_is_repaired(mlosd: ModeMlosd) -> None:
    enter(mlosd)
    file = mlosd.machine / SWAPPINESS
    file.rename(file.with_name("away"))
    file.mkdir()
    mlosd.call("io.mlosd.Mode.Leave")
    [left] = status(mlosd)["drained"]
    assert (status(mlosd)["state"], left["command"]) == ("drained", f"echo 60 > {file}")
    with pytest.raises(Refused, match="drained"):
        enter(mlosd)
    file.rmdir()
    file.with_name("away").rename(file)
    assert mlosd.call("io.mlosd.Mode.Restore")["failed"] == []
    assert mlosd.read(SWAPPINESS) == "60"
    assert enter(mlosd)["mode"]["state"] == "on"


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"profile": "trainig"}, NotFound, "did you mean|trainig"),
        ({"set": ["governor=performance"]}, NotFound, "no knob"),
        ({"set": ["swappiness=lots"]}, BadRequest, "swappiness"),
        ({"set": ["swappiness"]}, BadRequest, "knob=value"),
        ({"cpus": "0-9"}, BadRequest, "not there"),
        ({"cpus": "0-3"}, BadRequest, "no whole core for the OS"),
        ({"cpus": "4"}, BadRequest, "the OS keeps one core"),
        ({"cpus": "0"}, BadRequest, "0 CPUs"),
        ({"cpus": "many"}, BadRequest, "not a number or a list"),
        ({"pid": 1, "job": 1}, BadRequest, "not with both"),
        ({"pid": 4194303}, NotFound, "no process"),
        ({"pid": -5}, BadRequest, "not the number"),
        ({"job": 99}, NotFound, "no job 99"),
        ({"seconds": -1.0}, BadRequest, "between a moment and a year"),
    ],
    ids=str,
)
def test_what_makes_no_sense_gets_one_line_and_changes_nothing(
    mlosd: ModeMlosd, asked: dict[str, Any], error: type[Exception], says: str
) -> None:
    before = mlosd.snapshot()
    with pytest.raises(error, match=says):
        enter(mlosd, **asked)
    assert (mlosd.snapshot(), status(mlosd)["leases"]) == (before, [])


def test_a_broken_profile_names_its_file(mlosd: ModeMlosd) -> None:
    (mlosd.machine / "etc/mlosd/profiles/mine.toml").write_text('[knobs]\nscaling-govenor = "performance"\n')
    with pytest.raises(BadConfig, match=r"mine\.toml.*scaling-govenor"):
        enter(mlosd, profile="mine")


def test_a_daemon_with_a_root_of_its_own_has_no_machine_to_change(tmp_path: Path) -> None:
    with ModeMlosd(tmp_path) as mlosd:
        mlosd.stop()
        (tmp_path / "mlosd.toml").unlink()
        mlosd.start()
        assert status(mlosd)["state"] == "unsupported"
        with pytest.raises(Refused, match="ML mode"):
            enter(mlosd)
