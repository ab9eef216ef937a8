"""Energy performance preference of every cpufreq policy: what the CPU itself favours when it picks a speed (EPP).

"performance" makes the hardware raise the clock at once and lower it late (admin-guide/pm/intel_pstate, amd-pstate),
which shortens the steps of work that alternates between the CPU and waiting. It costs power and heat.

Under the governor "performance" these drivers refuse any preference but "performance" (EBUSY), and set that one without
being asked; on the way back some leave it so. That is why it is remembered before the governor changes, and put back
after the governor was: profiles that set one should set both. A policy without a preference, as under acpi-cpufreq, is
left out and named.
"""

from collections.abc import Iterator

from mlosd.mode.choices import wanted, words
from mlosd.mode.knob import Cannot, Knob, Want, Wish, matching, text
from mlosd.mode.scene import Scene, Setting

_POLICIES = "devices/system/cpu/cpufreq/policy*"


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """Every policy that can has it."""
    policies = matching(scene.host.sys, _POLICIES)
    if not policies:
        yield Cannot(
            f"/sys/{_POLICIES}/energy_performance_preference", "this kernel does not control the speed of the CPUs"
        )
    for policy in policies:
        file = policy / "energy_performance_preference"
        if not file.exists():
            yield Cannot(str(file), "its driver has no energy preference")
            continue
        try:
            governor = words(policy / "scaling_governor")
        except OSError as e:
            yield Cannot(str(file), e.strerror or str(e))
            continue
        if governor == ("performance",):
            # amd-pstate then lists "performance" only; the governor may well change before this is set.
            yield Want("text", str(file), str(setting))
        else:
            yield wanted(file, str(setting), among=policy / "energy_performance_available_preferences")


KNOB = Knob(
    name="energy-performance",
    use="core",
    stage=61,
    wishes=wishes,
    accepts=text,
    rivals=("tuned.service", "tlp.service", "power-profiles-daemon.service", "auto-cpufreq.service"),
)
