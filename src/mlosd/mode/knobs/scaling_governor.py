"""CPU frequency governor of every cpufreq policy (admin-guide/pm/cpufreq).

"performance" keeps cores at their highest speed, so that a step does not begin slowly after each wait for data. With
the intel_pstate and amd-pstate-epp drivers this forces the energy preference to "performance" as well; therefore it is
put back before that one.
"""

from mlosd.mode.knob import sysfs_knob, text
from mlosd.undo.change import NORMAL

KNOB = sysfs_knob(
    "scaling-governor",
    attr="devices/system/cpu/cpufreq/policy*/scaling_governor",
    accepts=text,
    stage=60,
    use="core",
    rank=NORMAL - 10,
    rivals=("tuned.service", "tlp.service", "power-profiles-daemon.service", "auto-cpufreq.service"),
)
