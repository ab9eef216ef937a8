"""Interrupts are handled by CPUs that training does not have (core-api/irq/irq-affinity).

An interrupt stops whatever runs on its CPU; on a busy network or disk that is thousands of times a second, and a
training step waits for its slowest thread. Each interrupt keeps those of its CPUs that are not training's, so that it
stays near its device; one that has no others may go to all of them. Interrupts that are nowhere near training, and
those that nobody handles, are left alone.

Some cannot be moved: queues of NVMe disks whose driver spread them itself, timers. The kernel tells only when it is
asked to (EIO, EPERM); they are listed. irqbalance moves interrupts back every ten seconds: set irqbalance as well. The
fewer CPUs are left, the more each of them has to handle; a fast network may need two or three.
"""

from collections.abc import Iterator

from mlosd.kernel import cpulist, irq
from mlosd.mode.housekeeping import undivided, without_training
from mlosd.mode.knob import Cannot, Knob, Want, Wish, switch
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """No interrupt comes to a training CPU."""
    if reason := undivided(scene):
        yield Cannot("/proc/irq/*/smp_affinity_list", reason)
        return
    for one in irq.read(scene.host.proc):
        if one.actions:
            near = scene.training.isdisjoint(one.allowed)
            # Also wanted where it is so already: what we moved before must stay wanted.
            cpus = one.allowed if near else without_training(one.allowed, scene)
            yield Want("cpulist", str(scene.host.proc / one.affinity_file), cpulist.format(cpus))


KNOB = Knob(
    name="irq-affinity",
    use="optional",
    stage=50,
    wishes=wishes,
    accepts=switch,
    rivals=("irqbalance.service", "tuned.service"),
)
