"""Memory of jobs that is not taken away while others have some to give (MemoryLow= of the slice above all jobs).

Under pressure the kernel reclaims from everybody else first, so that data sets stay in the page cache and workers are
not swapped out for a browser or a backup. "auto" protects what training said it needs, or a quarter of the memory where
it said nothing, and never more than half; a number is percent of the memory, up to 80.

It is a preference, not a reservation: nothing is set aside, and when nobody else has anything left, the kernel takes
from here rather than kill. Never promised is more than others' protection leaves: promises that cannot be kept are
shared out as if nobody had any. What was read before training began is charged to whoever read it, and is not
protected. Jobs below the slice share its protection (memory_recursiveprot, as systemd mounts cgroups).
"""

import contextlib
from collections.abc import Iterator

from mlosd.kernel import meminfo
from mlosd.kernel.cgroupfs import Cgroup
from mlosd.mode import slices
from mlosd.mode.knob import Cannot, Knob, Wish
from mlosd.mode.scene import Scene, Setting

_MOST_PERCENT = 80
_MIB = 1 << 20


def accepts(setting: Setting) -> None:
    """Accepts "auto", and percent."""
    if setting != "auto" and (
        isinstance(setting, bool) or not isinstance(setting, int) or not 1 <= setting <= _MOST_PERCENT
    ):
        raise ValueError('"auto", or percent of the memory from 1 to 80')


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """The slice has it."""
    total = meminfo.read(scene.host.proc).total
    if isinstance(setting, int):
        wanted = total * setting // 100
    else:
        wanted = min(total // 4 if scene.memory is None else scene.memory, total // 2)
    room = total * _MOST_PERCENT // 100 - _promised_to_others(scene, total)
    if room < _MIB:
        yield Cannot(f"{scene.slice_} MemoryLow", "the memory is promised to others already")
        return
    # Whole MiB: the kernel counts in pages and would print another number than it was told.
    yield slices.training(scene, "MemoryLow", min(wanted, room) // _MIB * _MIB)


def _promised_to_others(scene: Scene, total: int) -> int:
    """What the other top cgroups are protected with. "max" is all there is."""
    promised = 0
    for file in [*scene.host.cgroups.glob("*/memory.low"), *scene.host.cgroups.glob("*/memory.min")]:
        if file.parent.name != scene.slice_:
            with contextlib.suppress(OSError), Cgroup.open(file.parent) as cgroup:
                size = cgroup.size(file.name)
                promised += total if size is None else size
    return promised


KNOB = Knob(
    name="mlos-memory-low",
    use="core",
    stage=20,
    wishes=wishes,
    accepts=accepts,
    through="systemd",
)
