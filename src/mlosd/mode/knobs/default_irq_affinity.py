"""Interrupts that are set up while training runs start on other CPUs (core-api/irq/irq-affinity, default_smp_affinity).

It is the mask that an interrupt gets when its driver asks for it: a network interface that comes up, a device that is
plugged in, a driver that resets. Together with irq-affinity it keeps training's CPUs free of them. It costs nothing;
interrupts that exist already are not moved by it.

An interrupt that was set up meanwhile keeps its CPUs when the mode ends: the default counts at its start only.
"""

from collections.abc import Iterator

from mlosd.mode import housekeeping
from mlosd.mode.knob import Knob, Wish, switch
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """The default has no training CPU in it."""
    yield housekeeping.mask(scene.host.proc / "irq/default_smp_affinity", scene)


KNOB = Knob(
    name="default-irq-affinity",
    use="optional",
    stage=50,
    wishes=wishes,
    accepts=switch,
    rivals=("irqbalance.service", "tuned.service"),
)
