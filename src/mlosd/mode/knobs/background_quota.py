"""The most CPU time that background slices get while training would wait for a CPU otherwise (CPUQuota=).

Not for profiles: headroom sets it (`[headroom] target` of a profile), computed from what background really used, takes
it away in steps when training does not wait any more, and never gives less than 5 % of each CPU. A cap is the second
measure, after weights, because it is not work-conserving: what background may not use is idle if training does not.
"""

from collections.abc import Iterator, Mapping

from mlosd.mode import slices
from mlosd.mode.knob import Knob, Wish
from mlosd.mode.scene import Scene, Setting


def accepts(setting: Setting) -> None:
    """Accepts microseconds of CPU time a second, by slice."""
    if not isinstance(setting, Mapping) or not all(isinstance(us, int) and us >= 1000 for us in setting.values()):
        raise ValueError("a table of slices with microseconds of CPU time a second: headroom's own")


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """Each of these slices has its own."""
    assert isinstance(setting, Mapping)
    for slice_, us in setting.items():
        yield from slices.each(scene, (slice_,), "CPUQuotaPerSecUSec", us)


KNOB = Knob(
    name="background-quota",
    use="optional",
    stage=45,
    wishes=wishes,
    accepts=accepts,
    through="systemd",
)
