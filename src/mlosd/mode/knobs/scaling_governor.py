"""CPU frequency governor of every cpufreq policy (admin-guide/pm/cpufreq).

"performance" keeps cores at their highest speed, so that a step does not begin slowly after each wait for data or for
the GPU. With the intel_pstate and amd-pstate-epp drivers this forces the energy preference to "performance" as well and
refuses any other; therefore it is put back before that one, and energy-performance belongs into the same profile.

Each policy is remembered by itself: CPUs may have had different governors. A policy whose driver does not know the
governor, or whose CPUs are offline, is left out and named. Virtual machines seldom have any policy. It costs power and
heat; where heat limits the clock, cores that only wait may slow down those that compute.
"""

from collections.abc import Iterator

from mlosd.mode.choices import wanted
from mlosd.mode.knob import Cannot, Knob, Wish, matching, text
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.change import NORMAL

_POLICIES = "devices/system/cpu/cpufreq/policy*"


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """Every policy has it."""
    policies = matching(scene.host.sys, f"{_POLICIES}/scaling_governor")
    if not policies:
        yield Cannot(f"/sys/{_POLICIES}/scaling_governor", "this kernel does not control the speed of the CPUs")
    for file in policies:
        yield wanted(file, str(setting), among=file.with_name("scaling_available_governors"))


KNOB = Knob(
    name="scaling-governor",
    use="core",
    stage=60,
    wishes=wishes,
    accepts=text,
    rank=NORMAL - 10,
    rivals=(
        "tuned.service",
        "tlp.service",
        "power-profiles-daemon.service",
        "auto-cpufreq.service",
        "gamemoded.service",
    ),
)
