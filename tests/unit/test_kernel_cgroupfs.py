"""A cgroup as a small tree of files: each file well-formed, missing, malformed and `max`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.kernel import cgroupfs
from mlosd.kernel.cgroup_events import Events
from mlosd.kernel.cgroupfs import Account, Cgroup

PRESSURE = "some avg10=1.50 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


@pytest.fixture
def cgroup(tmp_path: Path) -> Iterator[Cgroup]:
    with Cgroup.open(tmp_path) as opened:
        yield opened


def test_a_cgroup_is_its_inode_not_its_name(tmp_path: Path) -> None:
    with Cgroup.make(tmp_path / "job-1") as held:
        (tmp_path / "job-1").rename(tmp_path / "job-old")
        materialize(tmp_path, {"job-1/cgroup.procs": "4711\n", "job-old/cgroup.procs": "42\n"})
        assert held.processes() == (42,)
        assert held.id == (tmp_path / "job-old").stat().st_ino
        assert held.path() == tmp_path / "job-old"


def test_a_cgroup_of_somebody_else_is_never_taken_over(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        Cgroup.make(tmp_path)


def test_children_are_the_directories(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(tmp_path, {"b/cgroup.procs": "", "a/cgroup.procs": "7\n", "cgroup.procs": ""})
    assert cgroup.children() == ("a", "b")
    with cgroup.child("a") as child:
        assert child.processes() == (7,)


# --- one number or max ---


@pytest.mark.parametrize(("text", "size"), [("1048576\n", 1048576), ("0\n", 0), ("max\n", None)])
@pytest.mark.parametrize("knob", ["memory_max", "memory_high", "memory_peak", "memory_current"])
def test_sizes_are_bytes_and_max_is_none(
    tmp_path: Path, cgroup: Cgroup, knob: str, text: str, size: int | None
) -> None:
    materialize(tmp_path, {knob.replace("_", "."): text})
    assert getattr(cgroup, knob)() == size


def test_a_missing_file_is_said_so(cgroup: Cgroup) -> None:
    with pytest.raises(FileNotFoundError):
        cgroup.memory_max()


def test_a_malformed_size_is_refused(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(tmp_path, {"memory.max": "lots\n"})
    with pytest.raises(ValueError, match=r"memory\.max"):
        cgroup.memory_max()


# --- cgroup.events ---


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("populated 1\nfrozen 0\n", Events(populated=True, frozen=False)),
        ("populated 0\nfrozen 1\n", Events(populated=False, frozen=True)),
        ("populated 1\n", Events(populated=True, frozen=None)),
    ],
)
def test_events_are_read(tmp_path: Path, cgroup: Cgroup, text: str, events: Events) -> None:
    materialize(tmp_path, {"cgroup.events": text})
    assert cgroup.events() == events


@pytest.mark.parametrize("text", ["", "frozen 0\n", "populated maybe\n", "populated\n"])
def test_malformed_events_are_refused(tmp_path: Path, cgroup: Cgroup, text: str) -> None:
    materialize(tmp_path, {"cgroup.events": text})
    with pytest.raises(ValueError, match=r"cgroup\.events"):
        cgroup.events()


# --- writing ---


def test_freeze_thaw_and_kill_write_one_digit(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(tmp_path, {"cgroup.freeze": "0", "cgroup.kill": ""})
    cgroup.freeze()
    assert cgroup.read("cgroup.freeze") == "1"
    cgroup.thaw()
    assert cgroup.read("cgroup.freeze") == "0"
    cgroup.kill()
    assert cgroup.read("cgroup.kill") == "1"


def test_a_knob_that_the_kernel_lacks_is_not_made_up(tmp_path: Path, cgroup: Cgroup) -> None:
    with pytest.raises(FileNotFoundError):
        cgroup.kill()
    assert not (tmp_path / "cgroup.kill").exists()


def test_controllers_are_enabled_in_one_write(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(tmp_path, {"cgroup.controllers": "cpuset cpu io memory pids\n", "cgroup.subtree_control": ""})
    assert cgroup.controllers() == {"cpuset", "cpu", "io", "memory", "pids"}
    cgroup.enable({"memory", "cpu"})
    assert cgroup.read("cgroup.subtree_control") == "+cpu +memory"


def test_enabling_nothing_writes_nothing(cgroup: Cgroup) -> None:
    cgroup.enable(())


# --- accounting ---


def test_io_is_summed_over_devices(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(
        tmp_path,
        {"io.stat": "8:0 rbytes=100 wbytes=7 rios=1 wios=1 dbytes=0\n8:16 rbytes=20 wbytes=3 rios=1 wios=1\n9:0\n"},
    )
    assert cgroup.io_bytes() == (120, 10)


@pytest.mark.parametrize("text", ["8:0 rbytes=many wbytes=0\n"])
def test_malformed_io_is_refused(tmp_path: Path, cgroup: Cgroup, text: str) -> None:
    materialize(tmp_path, {"io.stat": text})
    with pytest.raises(ValueError, match=r"io\.stat"):
        cgroup.io_bytes()


def test_no_io_at_all_is_zero(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(tmp_path, {"io.stat": ""})
    assert cgroup.io_bytes() == (0, 0)


def test_a_malformed_cpu_stat_is_refused(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(tmp_path, {"cpu.stat": "usage_usec\n"})
    with pytest.raises(ValueError, match=r"cpu\.stat"):
        cgroup.cpu_usage_us()


def test_the_account_of_a_job_with_every_controller(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(
        tmp_path,
        {
            "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
            "memory.current": "4096\n",
            "memory.peak": "8192\n",
            "memory.events": "low 0\nhigh 2\nmax 0\noom 1\noom_kill 1\n",
            "io.stat": "8:0 rbytes=5 wbytes=6\n",
            "cpu.pressure": PRESSURE.format(11),
            "memory.pressure": PRESSURE.format(12),
            "io.pressure": PRESSURE.format(13),
        },
    )
    assert cgroup.account() == Account(
        cpu_us=1500000,
        memory_current=4096,
        memory_peak=8192,
        read_bytes=5,
        written_bytes=6,
        cpu_pressure_us=11,
        memory_pressure_us=12,
        io_pressure_us=13,
        oom_kills=1,
    )


def test_what_no_controller_counts_is_unknown_not_zero(tmp_path: Path, cgroup: Cgroup) -> None:
    materialize(tmp_path, {"cpu.stat": "usage_usec 7\n"})
    assert cgroup.account() == Account(cpu_us=7)


def test_removing_takes_what_is_below_and_forgives_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "job-1/keeper").mkdir(parents=True)
    cgroupfs.remove(tmp_path / "job-1")
    cgroupfs.remove(tmp_path / "job-1")
    assert list(tmp_path.iterdir()) == []
