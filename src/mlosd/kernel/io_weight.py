"""Which disks heed io.weight (admin-guide/cgroup-v2, "IO"): those with the BFQ scheduler, or with blk-iocost turned on.

The file io.weight is there in any case: writing it proves nothing.
"""

from pathlib import Path

from mlosd.kernel.cgroupfs import Cgroup

SYSFS = Path("/sys")


def heeding_disks(cgroup_mount: Path, sysfs: Path = SYSFS) -> frozenset[str]:
    """Names of the block devices that divide their time by weight."""
    return _with_bfq(sysfs) | _with_iocost(cgroup_mount, sysfs)


def _with_bfq(sysfs: Path) -> frozenset[str]:
    disks = set()
    for scheduler in (sysfs / "block").glob("*/queue/scheduler"):
        try:
            chosen = scheduler.read_text(encoding="ascii")
        except OSError:  # unplugged meanwhile
            continue
        if "[bfq]" in chosen:
            disks.add(scheduler.parent.parent.name)
    return frozenset(disks)


def _with_iocost(cgroup_mount: Path, sysfs: Path) -> frozenset[str]:
    try:
        with Cgroup.open(cgroup_mount) as root:
            text = root.read("io.cost.qos")
    except OSError:  # no io controller, or a kernel without CONFIG_BLK_CGROUP_IOCOST
        return frozenset()
    # One line for each disk: "8:0 enable=1 ctrl=auto ...".
    numbers = [line.split(" ")[0] for line in text.splitlines() if "enable=1" in line.split(" ")]
    return frozenset((sysfs / "dev/block" / number).resolve().name for number in numbers)
