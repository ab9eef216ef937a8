"""Dirty pages are written to disks by CPUs that training does not have (workqueue "writeback", core-api/workqueue).

Checkpoints and the output of other jobs leave the page cache by way of these workers. With workqueue-cpumask they are
off training's CPUs already, as all unbound workers are; this knob is for who leaves that one out. It costs nothing but
locality.

The mask is the queue's own: the kernel uses what both masks allow, and where that is nothing, the wider one.
"""

from collections.abc import Iterator

from mlosd.mode import housekeeping
from mlosd.mode.knob import Knob, Wish, switch
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """No writeback worker runs on a training CPU."""
    # /sys/bus/workqueue/devices/writeback is a link to it.
    yield housekeeping.mask(scene.host.sys / "devices/virtual/workqueue/writeback/cpumask", scene)


KNOB = Knob(
    name="writeback-cpumask",
    use="optional",
    stage=51,
    wishes=wishes,
    accepts=switch,
    rivals=("tuned.service",),
)
