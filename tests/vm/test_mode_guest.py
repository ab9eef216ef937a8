"""The machines for ML mode's tests are what those tests take them for: asked of the kernel, not of its version."""

from collections.abc import Callable, Iterator

import pytest
from tests.vm import recipes
from tests.vm.guest import Guest

PROGRAMS = "irqbalance tuned-adm powerprofilesctl gamemoded stress-ng fio Xorg xset xrandr nft ip tc strace ethtool"
MODULES = "uinput evdev bfq nft_socket sch_prio sch_htb sch_cake sch_fq dummy veth ifb cpufreq_powersave"
QUEUE = "/sys/block/nvme0n1/queue"
POLICIES = "/sys/devices/system/cpu/cpufreq/policy*"


@pytest.fixture(params=recipes.MODE.kernels)
def either(request: pytest.FixtureRequest, mode_machine: Callable[..., Guest]) -> Guest:
    """A machine with each of the kernels."""
    return mode_machine(kernel=request.param)


@pytest.fixture
def screen(mode_guest: Guest) -> Iterator[str]:
    """An X server's name; it ends with the test."""
    mode_guest.run("systemd-run --quiet --unit=screen Xorg :0 -novtswitch -sharevts")
    try:
        mode_guest.eventually("test -S /tmp/.X11-unix/X0")
        yield ":0"
    finally:
        mode_guest.run("systemctl stop screen.service")


def test_a_workstation_is_up_and_none_of_its_units_failed(either: Guest) -> None:
    assert either.run("systemctl is-system-running").strip() == "running"
    assert either.run("systemctl is-active mlosd.service").strip() == "active"


def test_a_workstation_has_all_controllers_and_pressure(either: Guest) -> None:
    controllers = either.run("cat /sys/fs/cgroup/cgroup.controllers").split()
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(controllers)
    for pressure in ("cpu", "io", "memory"):
        assert either.run(f"cat /proc/pressure/{pressure}").startswith("some")


def test_a_workstation_has_every_module_that_a_knob_may_want(either: Guest) -> None:
    either.run(f"modprobe --all {MODULES}")
    either.run("test -c /dev/uinput && ls /dev/input/event*")


def test_a_disk_of_a_workstation_has_schedulers_to_choose_from(either: Guest) -> None:
    before = either.run(f"cat {QUEUE}/scheduler").split("[")[1].split("]")[0]
    try:
        either.run(f"modprobe bfq && echo bfq > {QUEUE}/scheduler")
        assert "[bfq]" in either.run(f"cat {QUEUE}/scheduler")
    finally:
        either.run(f"echo {before} > {QUEUE}/scheduler")


def test_a_workstation_has_a_frequency_policy_for_each_of_its_cpus(either: Guest) -> None:
    governors = either.run(f"cat {POLICIES}/scaling_governor").split()
    assert len(governors) == int(either.run("nproc")) == 4
    assert governors.count("schedutil") == 4
    try:
        either.run(f"for policy in {POLICIES}; do echo performance > $policy/scaling_governor; done")
        assert set(either.run(f"cat {POLICIES}/scaling_governor").split()) == {"performance"}
    finally:
        either.run(f"for policy in {POLICIES}; do echo schedutil > $policy/scaling_governor; done")


def test_no_rival_of_ml_mode_runs_until_a_test_starts_it(either: Guest) -> None:
    rivals = " ".join(recipes.MODE.disabled)
    states = either.attempt(f"systemctl is-active {rivals}").stdout.split()
    assert states == ["inactive"] * len(recipes.MODE.disabled)


def test_every_rival_of_ml_mode_can_be_started(mode_guest: Guest) -> None:
    for rival in ("irqbalance.service", "tuned.service", "power-profiles-daemon.service"):
        mode_guest.run(f"systemctl start {rival}", timeout=120)
        assert mode_guest.run(f"systemctl is-active {rival}").strip() == "active"
        mode_guest.run(f"systemctl stop {rival}")


def test_every_program_that_a_test_may_want_is_there(mode_guest: Guest) -> None:
    mode_guest.run(f"for program in {PROGRAMS}; do command -v $program || exit 1; done")


def test_an_x_server_runs_on_a_screen_that_nobody_sees(mode_guest: Guest, screen: str) -> None:
    assert "Screen Saver" in mode_guest.run(f"DISPLAY={screen} xset q")
    assert "1024x768" in mode_guest.run(f"DISPLAY={screen} xrandr")


def test_numpy_runs_on_the_emulated_cpu(mode_guest: Guest) -> None:
    product = "import numpy; print((numpy.ones((64, 64)) @ numpy.ones((64, 64))).sum())"
    assert float(mode_guest.run(f"/opt/mlosd/bin/python -c '{product}'")) == 64.0**3


def test_the_newest_kernel_has_schedulers_in_bpf_and_clamps_of_utilization(mode_guest_backports: Guest) -> None:
    assert mode_guest_backports.run("cat /sys/kernel/sched_ext/state").strip() == "disabled"
    mode_guest_backports.run("test -e /proc/sys/kernel/sched_util_clamp_min")
