"""Transmit queues that others send through are not shared with training's CPUs (networking/scaling, "XPS").

A driver often gives each CPU its own transmit queue. Where a queue serves training's CPUs and others, only the others
keep it, so that their locks and completions are not training's. A queue that serves training's CPUs only is left alone:
it is what training sends through. Packets of a CPU that no queue names are spread over all queues by a hash.

It helps little where training sends little, and costs locality where it sends much, as in data-parallel training over
this card: leave it out there. Cards with one queue have no such mask.
"""

from collections.abc import Iterator
from pathlib import Path

from mlosd.kernel import cpumask
from mlosd.mode import housekeeping
from mlosd.mode.knob import Cannot, Knob, Wish, matching, switch
from mlosd.mode.scene import Scene, Setting

_QUEUES = "class/net/*/queues/tx-*"


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """No queue serves both."""
    masks = f"/sys/{_QUEUES}/xps_cpus"
    if reason := housekeeping.undivided(scene):
        yield Cannot(masks, reason)
        return
    files = [queue / "xps_cpus" for queue in matching(scene.host.sys, _QUEUES)]
    yield from [housekeeping.mask(file, scene) for file in files if _serves_others(file, scene)] or [
        Cannot(masks, "no network card here gives queues to CPUs")
    ]


def _serves_others(file: Path, scene: Scene) -> bool:
    try:
        cpus = cpumask.parse(file.read_text(encoding="ascii"))
    except OSError:
        # ENOENT when it is read: there is but one queue (xps_cpus_show()). EINVAL: of another traffic class.
        return False
    return not scene.housekeeping.isdisjoint(cpus)


KNOB = Knob(name="transmit-packet-steering", use="optional", stage=52, wishes=wishes, accepts=switch)
