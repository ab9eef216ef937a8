"""Kernel workers that belong to no CPU run on CPUs that training does not have (core-api/workqueue, "Affinity Scopes").

Unbound workqueues do much of the kernel's background work: writeback, encryption, file systems, memory. Their threads
(kworker/u*) are in no slice, so that weights and AllowedCPUs= do not reach them; this mask does. It costs little: the
work is done elsewhere, perhaps in another cache.

Work that training itself asks for, reading its own data through dm-crypt for instance, is done elsewhere as well. Leave
this knob out where that is most of the work. While isolated cpusets hold CPUs back from these workers, nothing is
touched: the kernel remembers a wider mask than it shows (cpumask_requested), and that could not be put back.
"""

from collections.abc import Iterator
from pathlib import Path

from mlosd.kernel import cpumask
from mlosd.mode import housekeeping
from mlosd.mode.knob import Cannot, Knob, Wish, switch
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """No unbound worker runs on a training CPU."""
    file = scene.host.sys / "devices/virtual/workqueue/cpumask"
    # Since Linux 6.8; a write of cpumask sets both (workqueue_set_unbound_cpumask()).
    requested = _mask(file.with_name("cpumask_requested"))
    if requested is not None and requested != _mask(file):
        yield Cannot(str(file), "isolated CPUs narrow it, and what was requested could not be put back")
    else:
        yield housekeeping.mask(file, scene)


def _mask(file: Path) -> tuple[int, ...] | None:
    try:
        return cpumask.parse(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


KNOB = Knob(
    name="workqueue-cpumask",
    use="optional",
    stage=51,
    wishes=wishes,
    accepts=switch,
    rivals=("tuned.service",),
)
