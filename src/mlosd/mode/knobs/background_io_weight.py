"""Disk weight of everything that is not training: system, people, machines, CI, dataset updates (IOWeight=).

The other side of mlos-io-weight, with the same limits: only disks with BFQ or blk-iocost heed it; without any it is
reported as void. 10 leaves backups and updates slow but moving.
"""

from collections.abc import Iterator

from mlosd.kernel.io_weight import heeding_disks
from mlosd.mode import slices
from mlosd.mode.knob import Knob, Wish, number
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """Every background slice has it."""
    heeded = heeding_disks(scene.host.cgroups, scene.host.sys)
    void = None if heeded else "no disk here has BFQ or iocost on"
    yield from slices.each(scene, slices.background(scene), "IOWeight", setting, void=void)


KNOB = Knob(
    name="background-io-weight",
    use="optional",
    stage=30,
    wishes=wishes,
    accepts=number(1, 10_000),
    through="systemd",
)
