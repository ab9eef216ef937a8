"""Probes on small kernels: what each one says where its mechanism is there, half there, or not."""

from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.doctor import cgroup_place
from mlosd.doctor.host import Host
from mlosd.doctor.probes import (
    cgroup_controllers,
    cgroup_delegation,
    cgroup_freezer,
    cpufreq,
    file_systems,
    gpus,
    input_inhibit,
    irq_affinity,
    memory_bandwidth,
    pressure,
    state_directory,
    systemd,
    uinput,
)
from mlosd.doctor.verdict import Degraded, Ok, Unavailable
from mlosd.kernel import mountinfo


def small(tmp_path: Path, files: dict[str, str], *, uid: int = 0) -> Host:
    """A machine with its /proc, /sys, /dev and /run below one folder. `@` in a text stands for that folder."""
    materialize(tmp_path, {name: text.replace("@", str(tmp_path)) for name, text in files.items()})
    for name in ("proc", "sys", "dev", "run", "scratch"):
        (tmp_path / name).mkdir(exist_ok=True)
    return Host(
        state=tmp_path / "state",
        scratch=tmp_path / "scratch",
        proc=tmp_path / "proc",
        sys=tmp_path / "sys",
        dev=tmp_path / "dev",
        run=tmp_path / "run",
        nvml="libnvidia-ml-that-is-not-here.so.1",
        uid=uid,
    )


STALL = "some avg10={} avg60=0.00 avg300=0.00 total=1\n"


def test_pressure_is_shown_as_shares(tmp_path: Path) -> None:
    host = small(tmp_path, {f"proc/pressure/{name}": STALL.format("2.40") for name in ("cpu", "memory", "io")})
    assert pressure.run(host) == Ok("time spent waiting in the last 10 s: cpu 2 %, memory 2 %, io 2 %")


def test_pressure_that_is_off_can_be_turned_on(tmp_path: Path) -> None:
    assert pressure.run(small(tmp_path, {})) == Unavailable("it is off in this kernel", pressure.TURN_ON)


def test_without_systemd_the_direct_backend_is_named(tmp_path: Path) -> None:
    verdict = systemd.run(small(tmp_path, {"proc/1/comm": "runit\n"}))
    assert verdict == Degraded("PID 1 is runit, not systemd: mlosd starts jobs itself (direct backend)")


def test_systemd_without_its_bus_is_a_fault(tmp_path: Path) -> None:
    verdict = systemd.run(small(tmp_path, {"run/systemd/system/x": ""}))
    assert isinstance(verdict, Unavailable)
    assert verdict.hint == "systemctl start dbus.socket"


TREE = "30 1 0:30 / @/cgroup rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("controllers", "membership", "state", "said"),
    [
        ("cpuset cpu io memory pids", "0::/\n", Ok, "cpu, cpuset, io, memory, pids at"),
        (
            "",
            "4:memory:/\n3:cpuset,cpu:/\n2:blkio:/\n1:pids:/\n0::/\n",
            Unavailable,
            "v1 holds cpu, cpuset, io, memory, pids",
        ),
        (
            "cpu io pids",
            "4:memory:/\n3:cpuset:/\n0::/\n",
            Degraded,
            "has only cpu, io, pids: cgroup v1 holds cpuset, memory",
        ),
        ("cpu memory pids", "0::/\n", Degraded, "this kernel or container lacks cpuset, io"),
        ("cpu io pids", "4:memory:/\n0::/\n", Degraded, "cgroup v1 holds memory, and cpuset is missing"),
    ],
)
def test_controllers_are_named_with_whoever_holds_them(
    tmp_path: Path, controllers: str, membership: str, state: type, said: str
) -> None:
    files = {"proc/self/mountinfo": TREE, "proc/self/cgroup": membership, "cgroup/cgroup.controllers": controllers}
    verdict = cgroup_controllers.run(small(tmp_path, files))
    assert isinstance(verdict, state)
    assert said in verdict.detail


def test_the_owner_of_the_cgroup_tree_is_named(tmp_path: Path) -> None:
    files = {"proc/self/mountinfo": TREE, "proc/self/cgroup": "0::/\n", "run/systemd/system/x": ""}
    verdict = cgroup_controllers.run(
        small(tmp_path, files | {"cgroup/cgroup.controllers": "cpuset cpu io memory pids"})
    )
    assert verdict.detail.endswith("systemd owns it")


def test_no_cgroup_tree_is_said_so(tmp_path: Path) -> None:
    verdict = cgroup_controllers.run(small(tmp_path, {"proc/self/mountinfo": ""}))
    assert isinstance(verdict, Unavailable)
    assert verdict.detail == "cgroup v2 is not mounted"


def test_a_cgroup_that_systemd_owns_is_left_alone(tmp_path: Path) -> None:
    files = {
        "proc/self/mountinfo": TREE,
        "proc/self/cgroup": "0::/user.slice\n",
        "run/systemd/system/x": "",
        "cgroup/user.slice/cgroup.kill": "",
    }
    host = small(tmp_path, files)
    assert cgroup_place.find(host) is None
    assert cgroup_freezer.run(host) == Ok("the kernel has it; not tried, because systemd owns this cgroup")
    assert sorted(entry.name for entry in (tmp_path / "cgroup/user.slice").iterdir()) == ["cgroup.kill"]


def test_a_plain_user_without_delegation_is_told_so(tmp_path: Path) -> None:
    files = {"proc/self/mountinfo": TREE, "proc/self/cgroup": "0::/user.slice\n", "run/systemd/system/x": ""}
    host = small(tmp_path, files | {"cgroup/user.slice/cgroup.kill": ""}, uid=1000)
    verdict = cgroup_delegation.run(host)
    assert isinstance(verdict, Unavailable)
    assert verdict.detail == "no cgroup is delegated to you"


MOUNT = "27 1 8:1 / {} rw - {} /dev/sda1 rw\n"


@pytest.mark.parametrize("fstype", ["nfs4", "cifs", "9p"])
def test_state_on_a_network_file_system_is_refused(tmp_path: Path, fstype: str) -> None:
    verdict = state_directory.run(small(tmp_path, {"proc/self/mountinfo": MOUNT.format("/", fstype)}))
    assert isinstance(verdict, Unavailable)
    assert f"on {fstype}, a network file system" in verdict.detail


def test_state_on_a_local_disk_is_tried_and_leaves_no_file(tmp_path: Path) -> None:
    host = small(tmp_path, {"proc/self/mountinfo": MOUNT.format("/", "xfs")})
    before = sorted(tmp_path.iterdir())
    verdict = state_directory.run(host)
    assert f"{host.state} on xfs" in verdict.detail
    assert "it will be made" in verdict.detail
    assert sorted(tmp_path.iterdir()) == before


MOUNTS = """\
27 1 8:1 / / rw - ext4 /dev/sda1 rw
28 27 0:5 / /dev/shm rw - tmpfs tmpfs rw
29 27 8:2 /home /home rw - btrfs /dev/sda2 rw,subvol=/home
30 27 8:2 /data /data rw - btrfs /dev/sda2 rw,subvol=/data
31 27 8:1 /srv /srv rw - ext4 /dev/sda1 rw
32 27 8:3 / /usr/share/model ro - erofs /dev/sda3 ro
33 27 0:60 / /mnt/nas rw - nfs4 nas:/ rw
34 27 0:61 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
"""


def test_one_row_for_each_file_system_and_subvolume_that_could_hold_projects() -> None:
    assert [str(mount.target) for mount in file_systems.choose(mountinfo.parse(MOUNTS))] == ["/", "/data", "/home"]


def test_a_plain_user_gets_no_rows_that_only_root_could_try(tmp_path: Path) -> None:
    assert list(file_systems.probes(small(tmp_path, {"proc/self/mountinfo": MOUNTS}, uid=1000))) == []


POLICY = "sys/devices/system/cpu/cpufreq/policy0/"


def test_governors_are_shown_and_nothing_is_written(tmp_path: Path) -> None:
    files = {
        f"{POLICY}scaling_governor": "powersave\n",
        f"{POLICY}scaling_available_governors": "performance powersave\n",
        f"{POLICY}energy_performance_preference": "balance_power\n",
    }
    verdict = cpufreq.run(small(tmp_path, files))
    assert verdict == Ok("1 policies, governor powersave, energy preference balance_power")
    assert (tmp_path / POLICY / "scaling_governor").read_text() == "powersave\n"


def test_a_machine_without_the_performance_governor_is_degraded(tmp_path: Path) -> None:
    files = {f"{POLICY}scaling_governor": "powersave\n", f"{POLICY}scaling_available_governors": "powersave\n"}
    assert isinstance(cpufreq.run(small(tmp_path, files)), Degraded)


def test_a_virtual_machine_without_cpufreq_is_no_mystery(tmp_path: Path) -> None:
    verdict = cpufreq.run(small(tmp_path, {}))
    assert isinstance(verdict, Unavailable)
    assert "virtual machine" in verdict.detail


def test_interrupts_are_opened_and_not_moved(tmp_path: Path) -> None:
    verdict = irq_affinity.run(small(tmp_path, {"proc/irq/9/smp_affinity_list": "0-3\n"}))
    assert isinstance(verdict, Ok)
    assert (tmp_path / "proc/irq/9/smp_affinity_list").read_text() == "0-3\n"


@pytest.mark.parametrize(
    ("filesystems", "flags", "state"),
    [
        ("nodev\tresctrl\n", "cat_l3 mba", Ok),
        ("nodev\tresctrl\n", "cat_l3", Degraded),
        ("nodev\tresctrl\n", "fpu", Unavailable),
        ("\text4\n", "mba", Unavailable),
    ],
)
def test_memory_bandwidth_needs_kernel_and_cpu(tmp_path: Path, filesystems: str, flags: str, state: type) -> None:
    files = {"proc/filesystems": filesystems, "proc/cpuinfo": f"flags\t: {flags}\n", "proc/self/mountinfo": ""}
    assert isinstance(memory_bandwidth.run(small(tmp_path, files)), state)


def test_a_server_without_a_mouse_is_no_mystery(tmp_path: Path) -> None:
    verdict = input_inhibit.run(small(tmp_path, {}))
    assert verdict == Unavailable("this machine has no keyboard and no mouse (usual for a server)")


def test_input_devices_are_opened_and_not_switched(tmp_path: Path) -> None:
    device = "sys/class/input/input0/"
    verdict = input_inhibit.run(small(tmp_path, {f"{device}name": "Mouse\n", f"{device}inhibited": "0\n"}))
    assert verdict == Ok("1 of 1 input devices can be switched off and on")
    assert (tmp_path / device / "inhibited").read_text() == "0\n"


def test_a_missing_uinput_comes_with_the_module_to_load(tmp_path: Path) -> None:
    assert uinput.run(small(tmp_path, {})) == Unavailable("there is no /dev/uinput", "modprobe uinput")


def test_a_driver_that_is_not_loaded_stays_so(tmp_path: Path) -> None:
    verdict = uinput.run(small(tmp_path, {"dev/uinput": ""}))
    assert verdict == Ok("/dev/uinput is there; its driver is loaded when it is first used")


def test_a_machine_without_gpus_says_why(tmp_path: Path) -> None:
    verdict = gpus.run(small(tmp_path, {}))
    assert verdict == Unavailable("no NVIDIA GPU: libnvidia-ml-that-is-not-here.so.1 is not installed")
