"""CPU frequency governors and energy preferences: there, and open to us. Nothing is written."""

import os

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import cpufreq


def run(host: Host) -> Verdict:
    policies = cpufreq.policies(host.sys)
    if not policies:
        return Unavailable("the kernel does not control the CPUs' speed here (usual in a virtual machine)")
    for policy in policies:
        os.close(os.open(policy.directory / "scaling_governor", os.O_WRONLY | os.O_CLOEXEC))
    now = ", ".join(sorted({policy.governor for policy in policies}))
    if not all("performance" in policy.governors for policy in policies):
        return Degraded(f"governor {now}; the governor performance is not built in", "modprobe cpufreq_performance")
    preferences = sorted({policy.epp for policy in policies if policy.epp is not None})
    energy = f", energy preference {', '.join(preferences)}" if preferences else ""
    return Ok(f"{len(policies)} policies, governor {now}{energy}")


PROBE = Probe(
    name="CPU frequency",
    group=Feature.MODE,
    purpose="Runs the CPUs at full speed while a training runs, and puts the old setting back.",
    used_by=(Feature.MODE,),
    run=run,
)
