"""Disk weight of the slice above all jobs, against the system and the people on the machine (IOWeight=).

Keeps reads of data sets and writes of checkpoints from waiting behind a backup or an indexer. It is heeded only by
disks whose scheduler is BFQ, and by those for which blk-iocost is turned on (io.cost.qos); everywhere else the kernel
takes the value and does nothing with it, and that is reported as void. Buffered writes are charged to whoever dirtied
the pages only on file systems that know how (ext4, btrfs, xfs); device mapper and RAID lose the weight on the way.
"""

from collections.abc import Iterator

from mlosd.kernel.io_weight import heeding_disks
from mlosd.mode import slices
from mlosd.mode.knob import Knob, Wish, number
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """The slice has it."""
    heeded = heeding_disks(scene.host.cgroups, scene.host.sys)
    void = None if heeded else "no disk here has BFQ or iocost on"
    yield slices.training(scene, "IOWeight", setting, void=void)


KNOB = Knob(
    name="mlos-io-weight",
    use="optional",
    stage=20,
    wishes=wishes,
    accepts=number(1, 10_000),
    through="systemd",
)
