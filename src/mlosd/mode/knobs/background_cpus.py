"""Everything that is not training keeps off the CPUs that are training's own (AllowedCPUs=, cpusets).

Weights divide a CPU's time; this divides the CPUs. A step that waits for the slowest of its threads gains most, because
no system task comes between, and the caches stay training's. It works under any scheduler, sched_ext included. It is
not work-conserving: what training leaves idle on its CPUs stays idle. Without CPUs of its own (`--cpus all`) nothing is
set. Kernel threads that are bound to a CPU, and interrupts, are other knobs' business.

It goes through PID 1, for the system, people, machines, our own lesser jobs and PID 1 itself (init.scope). A slice that
training itself runs in is left alone. Tasks that were bound to a training CPU by hand (taskset) are moved while the
mode is on, and bound as before after it (kernel 6.2 and later). Taking the list away again leaves the old CPUs in some
versions of systemd; therefore all CPUs are named first. `mlosctl mode verify` reads the kernel's own word
(cpuset.cpus.effective).
"""

from collections.abc import Iterator

from mlosd.kernel import cpulist
from mlosd.mode import slices
from mlosd.mode.housekeeping import undivided
from mlosd.mode.knob import Cannot, Knob, Wish, switch
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.change import NORMAL


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """Every background slice may use the other CPUs only."""
    units = (*slices.background(scene), "init.scope")
    if reason := undivided(scene):
        yield Cannot("AllowedCPUs", reason)
    else:
        yield from slices.each(scene, units, "AllowedCPUs", cpulist.format(scene.housekeeping))


KNOB = Knob(
    name="background-cpus",
    use="core",
    stage=40,
    wishes=wishes,
    accepts=switch,
    # Before the weights: background has its CPUs back before it has its share of them.
    rank=NORMAL - 10,
    through="systemd",
)
