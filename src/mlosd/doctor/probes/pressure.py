"""Pressure stall information: how long tasks wait for CPU, memory and I/O."""

import errno

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel import psi

TURN_ON = "boot with the kernel parameter psi=1"


def run(host: Host) -> Verdict:
    try:
        found = {resource: psi.read(resource, host.proc) for resource in psi.RESOURCES}
    except OSError as e:
        # ENOENT: not built in, or off by default (CONFIG_PSI_DEFAULT_DISABLED). EOPNOTSUPP: psi=0.
        if e.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
            raise
        return Unavailable("it is off in this kernel", TURN_ON)
    shares = ", ".join(f"{resource} {pressure.some.avg10:.0f} %" for resource, pressure in found.items())
    return Ok(f"time spent waiting in the last 10 s: {shares}")


PROBE = Probe(
    name="pressure (PSI)",
    group=Feature.LIMITS,
    purpose="Tells how long each job waited for CPU, memory and disk, and when the machine is too full.",
    used_by=(Feature.LIMITS, Feature.MODE),
    run=run,
)
