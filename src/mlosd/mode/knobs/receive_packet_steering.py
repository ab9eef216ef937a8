"""Received packets are processed by CPUs that training does not have (networking/scaling, "RPS").

Where receive packet steering is on, a CPU in the queue's mask takes each packet through the network stack, in softirq,
before anybody's weight counts. "active" takes training's CPUs out of the masks of queues that steer already and turns
nothing on: cards with many queues need no steering, their interrupts decide (irq-affinity). "all" also turns it on for
the queues of real devices that do not steer, which helps a card with one queue whose interrupt cannot be moved.

Steering costs an inter-processor interrupt per batch of packets. A card that is reset forgets its masks. The kernel
takes CPUs that were isolated at boot out of any mask; then it reads back otherwise and is listed as refused.
"""

from collections.abc import Iterator
from pathlib import Path

from mlosd.kernel import cpumask
from mlosd.mode import housekeeping
from mlosd.mode.knob import Cannot, Knob, Want, Wish, matching, one_of
from mlosd.mode.scene import Scene, Setting

_MASKS = "class/net/*/queues/rx-*/rps_cpus"


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """No steering queue has a training CPU."""
    if reason := housekeeping.undivided(scene):
        yield Cannot(f"/sys/{_MASKS}", reason)
        return
    found = [wish for file in matching(scene.host.sys, _MASKS) if (wish := _wish(file, setting, scene)) is not None]
    yield from found or [Cannot(f"/sys/{_MASKS}", "no queue here steers packets")]


def _wish(file: Path, setting: Setting, scene: Scene) -> Wish | None:
    try:
        steers = bool(cpumask.parse(file.read_text(encoding="ascii")))
    except OSError:
        return None  # the interface went away
    if steers:
        return housekeeping.mask(file, scene)
    interface = file.parents[2]
    if setting == "all" and (interface / "device").exists():
        return Want("mask", str(file), cpumask.format(scene.housekeeping))
    return None


KNOB = Knob(
    name="receive-packet-steering",
    use="optional",
    stage=52,
    wishes=wishes,
    accepts=one_of("active", "all"),
    rivals=("tuned.service",),
)
