"""resctrl: whether CPU and kernel can divide memory bandwidth. It is not mounted for this."""

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import resctrl


def run(host: Host) -> Verdict:
    found = resctrl.read(host.mounts(), host.proc)
    if not found.kernel:
        return Unavailable("this kernel has no resctrl file system (CONFIG_X86_CPU_RESCTRL)")
    if not found.schemas:
        return Unavailable("this CPU, or its hypervisor, cannot divide bandwidth or cache")
    what = " and ".join({"MB": "memory bandwidth", "L3": "L3 cache", "L2": "L2 cache"}.get(s, s) for s in found.schemas)
    if "MB" not in found.schemas:
        return Degraded(f"divides {what} only, not memory bandwidth")
    where = f"mounted at {found.mounted}" if found.mounted else "not mounted"
    return Ok(f"divides {what}; {where}")


PROBE = Probe(
    name="memory bandwidth",
    group=Feature.MODE,
    purpose="Keeps background work from eating a training's memory bandwidth.",
    used_by=(Feature.MODE,),
    run=run,
)
