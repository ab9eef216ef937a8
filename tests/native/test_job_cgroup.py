"""Jobs in cgroups, on the live kernel: native/job_cgroup.c, delegated.c; and the full disk."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.native.conftest import PROGRAM, Yard
from tests.native.test_keeper import MAYFLY, until

from mlosd.kernel.shepherd import Knob, read_exit, read_started

pytestmark = pytest.mark.kernel


def test_a_job_runs_in_its_cgroup_which_is_removed_after(yard: Yard, cgroup: Path) -> None:
    record, output = yard.run("grep ^0:: /proc/self/cgroup", cgroup=str(cgroup / "job"))
    assert record.code == 0
    assert output.strip().endswith(f"/{cgroup.name}/job")
    assert not (cgroup / "job").exists()
    assert "cpu_us" not in record.from_rusage


def test_anybody_may_look_at_the_cgroup_and_its_record_names_it(yard: Yard, cgroup: Path) -> None:
    jobdir = yard.job("exec sleep 60", cgroup=str(cgroup / "job"))
    with yard.keep(jobdir) as keeper:
        until(lambda: read_started(jobdir))
        started = read_started(jobdir)
        assert started is not None
        assert started.cgroup == cgroup / "job"
        assert (cgroup / "job").stat().st_mode & 0o777 == 0o755
        keeper.terminate()


def test_a_knob_is_written(yard: Yard, cgroup: Path) -> None:
    file = "cgroup.max.descendants"
    _, output = yard.run(f"cat {cgroup}/job/{file}", cgroup=str(cgroup / "job"), knobs=(Knob(file, "3"),))
    assert output == "3\n"


def test_a_knob_that_the_kernel_refuses_is_told_and_the_job_runs(yard: Yard, cgroup: Path) -> None:
    knobs = (Knob("no.such", "1"), Knob("cgroup.max.depth", "nonsense"))
    jobdir = yard.job("true", cgroup=str(cgroup / "job"), knobs=knobs)
    with yard.keep(jobdir) as keeper:
        assert keeper.wait(30) == 0
    started = read_started(jobdir)
    assert started is not None
    assert started.knobs_failed == ("no.such: No such file or directory", "cgroup.max.depth: Invalid argument")


def test_a_required_knob_that_the_kernel_refuses_stops_the_start(yard: Yard, cgroup: Path) -> None:
    record, output = yard.run("echo ran", cgroup=str(cgroup / "job"), knobs=(Knob("no.such", "1", required=True),))
    assert (record.error_step, output) == ("no.such", "")
    assert not (cgroup / "job").exists()


def test_a_cgroup_without_a_parent_stops_the_start(yard: Yard, cgroup: Path) -> None:
    record, _ = yard.run("true", cgroup=str(cgroup / "missing" / "job"))
    assert record.error_step == "cgroup"


def test_what_is_left_behind_in_the_cgroup_dies(yard: Yard, cgroup: Path) -> None:
    record, _ = yard.run("trap '' TERM; setsid sleep 60 & true", cgroup=str(cgroup / "job"), grace=0.1)
    assert (record.code, record.survivors) == (0, False)
    assert not (cgroup / "job").exists()


def test_a_process_that_is_always_another_does_not_leave_the_cgroup(yard: Yard, cgroup: Path) -> None:
    record, _ = yard.run("", argv=(sys.executable, "-S", "-c", MAYFLY), cgroup=str(cgroup / "job"), grace=0.1)
    assert not record.survivors
    assert not (cgroup / "job").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="making a cgroup below that of the job needs root")
def test_cgroups_that_the_job_made_are_emptied_and_removed(yard: Yard, cgroup: Path) -> None:
    script = (
        f"mkdir -p {cgroup}/job/a/b && sleep 60 & until echo $! >{cgroup}/job/a/b/cgroup.procs; do :; done 2>/dev/null"
    )
    record, _ = yard.run(script, cgroup=str(cgroup / "job"))
    assert (record.code, record.survivors) == (0, False)
    assert not (cgroup / "job").exists()


def test_a_frozen_job_can_be_ended_in_good_order(yard: Yard, cgroup: Path) -> None:
    script = "trap 'exit 9' TERM; echo up >up; while :; do sleep 0.01; done"
    jobdir = yard.job(script, cgroup=str(cgroup / "job"), grace=60.0)
    with yard.keep(jobdir) as keeper:
        until((yard.path / "up").exists)
        (cgroup / "job" / "cgroup.freeze").write_text("1")
        until(lambda: "frozen 1" in (cgroup / "job" / "cgroup.events").read_text())
        keeper.terminate()
        assert keeper.wait(30) == 9


def test_a_job_killed_through_its_cgroup_is_recorded(yard: Yard, cgroup: Path) -> None:
    jobdir = yard.job("sleep 60 & wait", cgroup=str(cgroup / "job"))
    with yard.keep(jobdir) as keeper:
        until(lambda: read_started(jobdir))
        (cgroup / "job" / "cgroup.kill").write_text("1")
        assert keeper.wait(30) == 128 + signal.SIGKILL
    record = read_exit(jobdir)
    assert record is not None
    assert record.signal == signal.SIGKILL


def test_an_empty_cgroup_that_was_left_over_is_made_anew(yard: Yard, cgroup: Path) -> None:
    (cgroup / "job" / "old").mkdir(parents=True)
    record, _ = yard.run(f"test ! -e {cgroup}/job/old", cgroup=str(cgroup / "job"))
    assert record.code == 0


def test_a_delegated_cgroup_is_divided_between_keeper_and_job(yard: Yard, cgroup: Path) -> None:
    unit = cgroup / "unit"
    unit.mkdir()
    jobdir = yard.job("grep ^0:: /proc/self/cgroup /proc/$PPID/cgroup", cgroup="self")
    script = f"echo $$ >{unit}/cgroup.procs && exec {PROGRAM} keep {jobdir}"
    done = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, check=True, timeout=30)
    job, keeper = done.stdout.decode().splitlines()
    assert job.endswith("/unit/job")
    assert keeper.endswith("/unit/keeper")
    started = read_started(jobdir)
    assert started is not None
    assert started.cgroup == unit / "job"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a small disk of our own needs root")
def test_a_disk_that_the_job_filled_does_not_lose_its_end(yard: Yard) -> None:
    jobdir = yard.job("dd if=/dev/zero of=fill 2>/dev/null; echo >more || exit 3", cwd="/mnt")
    # A tmpfs in a mount namespace of its own: nobody else sees it.
    script = (
        "mount -t tmpfs -o size=64k mlos-test /mnt && mkdir /mnt/job && cp $1/spec /mnt/job/ && $0 keep /mnt/job;"
        " cat /mnt/job/started /mnt/job/exit"
    )
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, str(PROGRAM), str(jobdir)],
        capture_output=True,
        check=True,
        timeout=30,
    )
    lines = done.stdout.decode().splitlines()
    assert "code=2" in lines or "code=3" in lines
    assert lines[-1] == "end"
    assert any(line.startswith("keeper_start=") for line in lines)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a small disk of our own needs root")
def test_on_a_full_disk_nothing_is_started(yard: Yard) -> None:
    jobdir = yard.job(f"touch {yard.path}/ran")
    script = (
        "mount -t tmpfs -o size=16k mlos-test /mnt && mkdir /mnt/job && cp $1/spec /mnt/job/;"
        " dd if=/dev/zero of=/mnt/fill 2>/dev/null; $0 keep /mnt/job"
    )
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, str(PROGRAM), str(jobdir)]
    assert subprocess.run(command, check=False, timeout=30).returncode == 125
    assert not (yard.path / "ran").exists()
