"""CPU weight of everything that is not training: system, people, machines, CI, dataset updates (CPUWeight=).

The other side of mlos-weight. A number (100 is the default) gives background its share under contention: 20 keeps
logins quick and costs training little. "idle" gives it what nobody else wants (SCHED_IDLE): training loses next to
nothing, and on a machine that training keeps fully busy, logins, name resolution and this daemon become slow. No time
is taken from background while CPUs are idle, and memory and disks are not affected.

A slice that training itself runs in, as when somebody trains from a login, is left alone. Somebody who logs in during
the mode gets the low weight, too. Real-time tasks, and most sched_ext schedulers, take no notice of weights.
"""

from collections.abc import Iterator

from mlosd.mode import slices
from mlosd.mode.knob import Knob, Wish
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """Every background slice has it."""
    yield from slices.each(scene, slices.background(scene), "CPUWeight", setting)


KNOB = Knob(
    name="background-weight",
    use="core",
    stage=30,
    wishes=wishes,
    accepts=slices.weight_or_idle,
    through="systemd",
)
