"""CPU weight of the slice above all jobs, against the system and the people on the machine (CPUWeight=).

Under contention each of the machine's top slices gets CPU time by its weight, 100 where nobody says otherwise: with
10000 here, everything else together gets a percent or so, and all of it whenever training leaves it idle. Nothing is
ever held back from a machine that has time to spare, so this is the first thing to set and the last to regret.

Weights count among neighbours: those of jobs within the slice are their own. They mean nothing to real-time tasks, and
nothing under most sched_ext schedulers (`mlosctl mode verify` says so); there, give training CPUs of its own.
"""

from collections.abc import Iterator

from mlosd.mode import slices
from mlosd.mode.knob import Knob, Wish, number
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """The slice has it."""
    yield slices.training(scene, "CPUWeight", setting)


KNOB = Knob(
    name="mlos-weight",
    use="core",
    stage=20,
    wishes=wishes,
    accepts=number(1, 10_000),
    through="systemd",
)
