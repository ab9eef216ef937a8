"""PSI triggers on the live kernel, in a cgroup that the test makes: they fire when tasks wait, and only then."""

import asyncio
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlosd.doctor import cgroup_place
from mlosd.doctor.host import Host
from mlosd.kernel import cgroupfs, psi
from mlosd.kernel.cgroupfs import Cgroup
from mlosd.kernel.psi import Trigger

pytestmark = pytest.mark.kernel

FIVE_PER_CENT = "some 100000 2000000"


@pytest.fixture
def cgroup(tmp_path: Path) -> Iterator[Cgroup]:
    place = cgroup_place.find(Host(state=tmp_path, scratch=tmp_path))
    if place is None:
        pytest.skip("no cgroup that is ours to write to")
    path = place / f"mlosd-test-psi-{os.getpid()}"
    with Cgroup.make(path) as made:
        try:
            made.pressure("cpu")
        except OSError as e:
            cgroupfs.remove(path)
            pytest.skip(f"PSI is off: {e.strerror}")
        yield made
    cgroupfs.remove(path)


@contextmanager
def crowd(cgroup: Cgroup) -> Iterator[None]:
    """Two busy processes on one CPU: one of them always waits."""
    cpu = min(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(cpu), "sh", "-c", "read go; while :; do :; done"]
    busy = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
    try:
        for process in busy:
            cgroup.add(process.pid)
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        yield
    finally:
        for process in busy:
            process.kill()
            process.communicate()


def cpu_pressure(cgroup: Cgroup) -> Path:
    return cgroup.path() / "cpu.pressure"


def test_a_trigger_fires_when_tasks_wait_for_a_cpu(cgroup: Cgroup) -> None:
    with Trigger.open(cpu_pressure(cgroup), FIVE_PER_CENT) as trigger:
        before = trigger.read().some.total_us
        with crowd(cgroup):
            assert trigger.wait(seconds=10.0).some.total_us > before


def test_a_trigger_fires_for_asyncio_again_and_again(cgroup: Cgroup) -> None:
    async def three_times() -> list[int]:
        return [(await trigger.fired(seconds=10.0)).some.total_us for _ in range(3)]

    with Trigger.open(cpu_pressure(cgroup), FIVE_PER_CENT) as trigger, crowd(cgroup):
        totals = asyncio.run(three_times())
    # Once in a window at most (accounting/psi).
    assert totals[0] + 100_000 <= totals[1] <= totals[2] - 100_000


def test_what_fired_before_anybody_waited_is_not_lost(cgroup: Cgroup) -> None:
    with Trigger.open(cpu_pressure(cgroup), FIVE_PER_CENT) as trigger:
        with crowd(cgroup):
            time.sleep(4.5)
        began = time.monotonic()
        asyncio.run(trigger.fired(seconds=10.0))
        assert time.monotonic() - began < 1.0


def test_a_trigger_is_silent_while_nobody_waits(cgroup: Cgroup) -> None:
    with Trigger.open(cpu_pressure(cgroup), FIVE_PER_CENT) as trigger:
        with pytest.raises(TimeoutError):
            trigger.wait(seconds=2.5)
        with pytest.raises(TimeoutError):
            asyncio.run(trigger.fired(seconds=2.5))


def test_a_cgroup_that_goes_away_wakes_whoever_waits(cgroup: Cgroup) -> None:
    path = cgroup.path() / "job"
    path.mkdir()

    async def remove_meanwhile() -> None:
        waiting = asyncio.ensure_future(trigger.fired(seconds=10.0))
        await asyncio.sleep(0.05)
        path.rmdir()
        await waiting

    gone = pytest.raises(OSError, match=os.strerror(errno.ENODEV))
    with Trigger.open(path / "cpu.pressure", FIVE_PER_CENT) as trigger, gone:
        asyncio.run(remove_meanwhile())


@pytest.mark.parametrize(
    "text", ["some 0 2000000", "some 2000001 2000000", "most 1 2000000", "some 25000 99000000", ""]
)
def test_what_the_kernel_does_not_take_is_an_error(cgroup: Cgroup, text: str) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        Trigger.open(cpu_pressure(cgroup), text)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_headrooms_own_triggers_are_taken(cgroup: Cgroup) -> None:
    from mlosd.mode import headroom

    for target in (0.1, headroom.TARGET, 100.0):
        text = headroom.wakes(headroom.State(), target=target).trigger
        assert text is not None
        Trigger.open(cpu_pressure(cgroup), text).close()


def test_the_machine_has_a_trigger_too() -> None:
    file = Path("/proc/pressure/cpu")
    try:
        psi.read("cpu")
    except OSError as e:
        pytest.skip(f"PSI is off: {e.strerror}")
    with Trigger.open(file, FIVE_PER_CENT) as trigger:
        assert trigger.read().some.total_us >= 0
