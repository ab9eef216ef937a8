"""Automatic NUMA balancing: whether the kernel moves pages to the node that uses them (sysctl kernel.numa_balancing).

To learn who uses a page it unmaps some now and then; training pays for the faults, and pages that several nodes use
wander. 0 switches it off, which is right where training is bound to one node, as ML mode does when it can; 1 switches
it on; 2 moves pages between memory tiers, on machines that have them (CXL).

Other programs of the machine lose the balancing as well while the mode lasts. On a machine with one node it does
nothing.
"""

from collections.abc import Iterator

from mlosd.mode.knob import Cannot, Knob, Want, Wish, number
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """It is as set."""
    file = scene.host.proc / "sys/kernel/numa_balancing"
    if not file.exists():
        yield Cannot(str(file), "this kernel has no NUMA balancing")
        return
    one = len(scene.topology.nodes) < 2
    yield Want("text", str(file), str(setting), void="this machine has one memory node" if one else None)


KNOB = Knob(
    name="numa-balancing",
    use="optional",
    stage=70,
    wishes=wishes,
    accepts=number(0, 2),
    rivals=("tuned.service", "numad.service"),
)
