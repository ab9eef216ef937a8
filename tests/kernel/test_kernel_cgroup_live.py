"""A cgroup on the live kernel, in a subtree that the test makes: freeze, thaw, kill, and hearing of each."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlosd.doctor import cgroup_place
from mlosd.doctor.host import Host
from mlosd.kernel import cgroupfs
from mlosd.kernel.cgroupfs import Cgroup

pytestmark = pytest.mark.kernel


@pytest.fixture
def cgroup(tmp_path: Path) -> Iterator[Cgroup]:
    place = cgroup_place.find(Host(state=tmp_path, scratch=tmp_path))
    if place is None:
        pytest.skip("no cgroup that is ours to write to")
    path = place / f"mlosd-test-{os.getpid()}"
    with Cgroup.make(path) as made:
        yield made
        if made.events().populated:
            made.kill()
            with made.watch() as watch:
                watch.wait(lambda events: not events.populated, seconds=5.0)
    cgroupfs.remove(path)


@pytest.fixture
def sleeper(cgroup: Cgroup) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        cgroup.add(process.pid)
        yield process
        process.kill()


def test_a_new_cgroup_is_empty_and_has_an_id(cgroup: Cgroup) -> None:
    assert cgroup.processes() == ()
    assert not cgroup.events().populated
    assert cgroup.id == cgroup.path().stat().st_ino


def test_a_frozen_cgroup_says_so_and_can_be_thawed(cgroup: Cgroup, sleeper: subprocess.Popen[bytes]) -> None:
    assert cgroup.processes() == (sleeper.pid,)
    with cgroup.watch() as watch:
        cgroup.freeze()
        assert watch.wait(lambda events: events.frozen is True, seconds=5.0).populated
        cgroup.thaw()
        watch.wait(lambda events: events.frozen is False, seconds=5.0)


def test_a_frozen_cgroup_can_be_killed_and_is_then_empty(cgroup: Cgroup, sleeper: subprocess.Popen[bytes]) -> None:
    async def freeze_and_kill() -> None:
        with cgroup.watch() as watch:
            cgroup.freeze()
            await watch.until(lambda events: events.frozen is True, seconds=5.0)
            cgroup.kill()
            await watch.until(lambda events: not events.populated, seconds=5.0)

    asyncio.run(freeze_and_kill())
    assert sleeper.wait() == -signal.SIGKILL


def test_a_change_that_does_not_come_times_out(cgroup: Cgroup) -> None:
    with cgroup.watch() as watch:
        with pytest.raises(TimeoutError):
            watch.wait(lambda events: events.populated, seconds=0.05)
        with pytest.raises(TimeoutError):
            asyncio.run(watch.until(lambda events: events.populated, seconds=0.05))


def test_a_cgroup_that_was_removed_and_made_again_is_another_one(cgroup: Cgroup) -> None:
    path = cgroup.path()
    with Cgroup.make(path / "job") as old:
        cgroupfs.remove(path / "job")
        with Cgroup.make(path / "job") as new:
            assert new.processes() == ()
            with pytest.raises(OSError, match=r"."):
                old.processes()
            assert old.id != new.id


BUSY = "read go; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"


def test_an_account_counts_cpu_time(cgroup: Cgroup) -> None:
    with subprocess.Popen(["sh", "-c", BUSY], stdin=subprocess.PIPE) as busy:
        cgroup.add(busy.pid)
        busy.communicate(b"\n")
    cpu = cgroup.account().cpu_us
    assert cpu is not None
    assert cpu > 0
