"""Whether a part of the cgroup tree is delegated to the user who asks."""

from mlosd.doctor import cgroup_place
from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel.cgroupfs import Cgroup


def run(host: Host) -> Verdict:
    if host.uid == 0:
        return Ok("not needed: you are root")
    place = cgroup_place.find(host)
    if place is None:
        return Unavailable(
            "no cgroup is delegated to you", "log in through systemd-logind, or let the system's mlosd run your jobs"
        )
    with Cgroup.open(place) as cgroup:
        controllers = ", ".join(sorted(cgroup.controllers())) or "no controllers"
    return Ok(f"{place} is yours, with {controllers}")


PROBE = Probe(
    name="cgroup delegation",
    group=Feature.LIMITS,
    purpose="Lets a user who is not root run an mlosd of their own that limits its jobs.",
    used_by=(Feature.LIMITS,),
    run=run,
)
