"""irqbalance is stopped while training has CPUs of its own, and started again after it (irqbalance(1)).

It spreads interrupts over all CPUs every ten seconds, training's among them, and writes the same files as irq-affinity:
the two would fight, and when the mode ends nobody could say any more which value was whose. Interrupts stay where they
are when it stops, so set irq-affinity as well; the kernel then chooses among the CPUs that are left. After the mode
irqbalance begins anew, with the interrupts where they were before.

It could be told on its socket to leave CPUs out (`settings cpus`), and would go on balancing the rest. That was tried
and not taken: it acts on a ban, and on the end of one, only at its next scan (up to ten seconds later) and says the old
mask until then, so a ban cannot be read back, nor its undoing within the time that a restore has; and `settings`
replaces what an administrator's tool said there before. Administrators who want it to run name the CPUs themselves
(IRQBALANCE_BANNED_CPULIST) and leave this knob out.
"""

from collections.abc import Iterator

from mlosd.mode import slices
from mlosd.mode.housekeeping import undivided
from mlosd.mode.knob import Cannot, Knob, Want, Wish, one_of
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.change import NORMAL

_UNIT = "irqbalance.service"


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """It does not run. Not spoken of where it is not installed."""
    if reason := undivided(scene):
        yield Cannot(_UNIT, reason)
    elif scene.host.pid1 is None:
        yield Cannot(_UNIT, slices.NO_SYSTEMD)
    elif scene.host.pid1.state(_UNIT, "LoadState") == "loaded":
        yield Want("unit-state", _UNIT, str(setting))


KNOB = Knob(
    name="irqbalance",
    use="optional",
    # Before irq-affinity, and undone after it: it must not see interrupts on their way.
    stage=49,
    wishes=wishes,
    accepts=one_of("inactive"),
    rank=NORMAL + 10,
    through="systemd",
)
