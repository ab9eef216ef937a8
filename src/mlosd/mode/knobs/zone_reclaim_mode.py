"""Whether a full memory node frees pages of its own before another node is asked (sysctl vm.zone_reclaim_mode).

0 takes memory from another node at once: right for training that reads much data, whose page cache would otherwise be
thrown away on one node while another is empty. 1 frees clean pages first, 2 also writes dirty ones, 4 also swaps; bits
may be added. Only a machine whose work is split by node, and fits, gains by that. It counts for all programs; on a
machine with one node it does nothing.
"""

from collections.abc import Iterator

from mlosd.mode.knob import Cannot, Knob, Want, Wish, number
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """It is as set."""
    file = scene.host.proc / "sys/vm/zone_reclaim_mode"
    if not file.exists():
        yield Cannot(str(file), "this kernel knows one memory node only")
        return
    one = len(scene.topology.nodes) < 2
    yield Want("text", str(file), str(setting), void="this machine has one memory node" if one else None)


KNOB = Knob(
    name="zone-reclaim-mode", use="optional", stage=70, wishes=wishes, accepts=number(0, 7), rivals=("tuned.service",)
)
