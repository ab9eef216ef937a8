"""The cgroup2 tree: where it is mounted, where we are in it, what the ancestors allow."""

from pathlib import Path, PurePosixPath

import pytest
from tests.fakes.tree import materialize

from mlosd.kernel import cgroup_tree, mountinfo
from mlosd.kernel.cgroup_tree import CgroupTree, Membership

UNIFIED = "25 24 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
JOB = PurePosixPath("/mlos.slice/mlos-dev.slice/job-1.service")


@pytest.mark.parametrize(
    ("mounts", "place"),
    [(UNIFIED, Path("/sys/fs/cgroup")), (HYBRID, Path("/sys/fs/cgroup/unified")), ("", None)],
)
def test_the_tree_is_found_where_it_is_mounted(mounts: str, place: Path | None) -> None:
    assert cgroup_tree.mount_point(mountinfo.parse(mounts)) == place


def test_on_a_unified_machine_there_is_one_path() -> None:
    assert cgroup_tree.parse_membership("0::/mlos.slice/job\n") == Membership(PurePosixPath("/mlos.slice/job"), {})


def test_version_1_controllers_are_named_with_their_paths() -> None:
    found = cgroup_tree.parse_membership("9:name=systemd:/\n4:memory:/docker/x\n3:cpu,cpuacct:/\n0::/\n")
    assert found == Membership(PurePosixPath("/"), {"memory": "/docker/x", "cpu": "/", "cpuacct": "/"})


def test_a_process_in_a_removed_cgroup_still_has_a_path() -> None:
    assert cgroup_tree.parse_membership("0::/gone (deleted)\n").path == PurePosixPath("/gone")


def test_without_cgroup2_there_is_no_path() -> None:
    assert cgroup_tree.parse_membership("4:memory:/\n") == Membership(None, {"memory": "/"})


def test_a_malformed_line_is_refused() -> None:
    with pytest.raises(ValueError, match="cgroup"):
        cgroup_tree.parse_membership("hello\n")


def test_membership_is_read_for_self_and_for_a_pid(tmp_path: Path) -> None:
    materialize(tmp_path, {"self/cgroup": "0::/me\n", "7/cgroup": "0::/seven\n"})
    assert cgroup_tree.membership(proc=tmp_path).path == PurePosixPath("/me")
    assert cgroup_tree.membership(7, proc=tmp_path).path == PurePosixPath("/seven")


def test_the_tightest_ancestor_limits_memory(tmp_path: Path) -> None:
    materialize(
        tmp_path,
        {
            "mlos.slice/memory.max": "1000\n",
            "mlos.slice/mlos-dev.slice/memory.max": "max\n",
            "mlos.slice/mlos-dev.slice/job-1.service/memory.max": "5000\n",
        },
    )
    assert CgroupTree(tmp_path).memory_limit(JOB) == 1000


def test_max_all_the_way_up_is_no_limit(tmp_path: Path) -> None:
    materialize(tmp_path, {"mlos.slice/memory.max": "max\n"})
    assert CgroupTree(tmp_path).memory_limit(JOB) is None


def test_without_a_memory_controller_there_is_no_limit(tmp_path: Path) -> None:
    assert CgroupTree(tmp_path).memory_limit(JOB) is None


def test_a_malformed_limit_is_refused(tmp_path: Path) -> None:
    materialize(tmp_path, {"mlos.slice/memory.max": "4G\n"})
    with pytest.raises(ValueError, match=r"memory\.max"):
        CgroupTree(tmp_path).memory_limit(JOB)


def test_the_nearest_cpuset_says_which_cpus(tmp_path: Path) -> None:
    materialize(tmp_path, {"cpuset.cpus.effective": "0-7\n", "mlos.slice/cpuset.cpus.effective": "2-3\n"})
    assert CgroupTree(tmp_path).cpus(JOB) == (2, 3)


def test_without_a_cpuset_controller_nobody_says_which_cpus(tmp_path: Path) -> None:
    assert CgroupTree(tmp_path).cpus(JOB) is None
