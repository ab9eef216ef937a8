"""Platform profile: how the firmware weighs power, heat and noise (userspace-api/sysfs-platform_profile).

On laptops and some workstations "performance" raises the power limit and lets fans run sooner, so that a long training
is not slowed down after its first minutes. It is set before the governor, because a profile may restrict which speeds
there are, and put back before it. It costs noise and battery.

Servers and virtual machines have none. Where power-profiles-daemon or tuned-ppd runs, power-profile is the better knob:
it holds the profile on the bus, and the bus lets go of it when we die. Devices that disagree read as "custom", which
cannot be written back; then nothing is touched.
"""

from collections.abc import Iterator

from mlosd.mode.choices import wanted, words
from mlosd.mode.knob import Cannot, Knob, Wish, text
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.change import NORMAL


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """The firmware has it."""
    file = scene.host.sys / "firmware/acpi/platform_profile"
    now = words(file)
    if not now:
        yield Cannot(str(file), "this firmware has no platform profile")
    elif now == ("custom",):
        # platform_profile_store() refuses it with EINVAL.
        yield Cannot(str(file), "its devices have different profiles ('custom'), which could not be put back")
    else:
        yield wanted(file, str(setting), among=file.with_name("platform_profile_choices"))


KNOB = Knob(
    name="platform-profile",
    use="core",
    stage=59,
    wishes=wishes,
    accepts=text,
    rank=NORMAL - 20,
    rivals=(
        "power-profiles-daemon.service",
        "tuned.service",
        "tuned-ppd.service",
        "tlp.service",
        "auto-cpufreq.service",
        "gamemoded.service",
    ),
)
