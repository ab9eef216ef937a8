"""Which controllers the cgroup2 tree has, who owns the tree, and which ones version 1 keeps away from it."""

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import cgroup_tree
from mlosd.kernel.cgroupfs import Cgroup

# What each one is for. "io" is called blkio in version 1.
WANTED = ("cpu", "cpuset", "io", "memory", "pids")
V1_NAMES = {"io": "blkio"}
LEFT = "Jobs still get their CPUs by affinity, but nothing limits their memory and disk"
UNIFY = "boot with the kernel parameter systemd.unified_cgroup_hierarchy=1, or with cgroup_no_v1=all"


def run(host: Host) -> Verdict:
    mount = cgroup_tree.mount_point(host.mounts())
    if mount is None:
        return Unavailable("cgroup v2 is not mounted", "mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd")
    with Cgroup.open(mount) as root:
        available = root.controllers()
    owner = "systemd owns it" if (host.run / "systemd/system").is_dir() else "no systemd here, so nobody else owns it"
    missing = [name for name in WANTED if name not in available]
    if not missing:
        return Ok(f"{', '.join(WANTED)} at {mount}; {owner}")
    bound = cgroup_tree.membership(proc=host.proc).v1
    at_v1 = [name for name in missing if V1_NAMES.get(name, name) in bound]
    why = f"cgroup v1 holds {', '.join(at_v1)}" if at_v1 else f"this kernel or container lacks {', '.join(missing)}"
    left_out = [name for name in missing if name not in at_v1]
    if at_v1 and left_out:
        why += f", and {', '.join(left_out)} is missing"
    hint = UNIFY if at_v1 else None
    if len(missing) == len(WANTED):
        return Unavailable(f"the tree at {mount} has no controllers: {why}. {LEFT}", hint)
    return Degraded(f"the tree at {mount} has only {', '.join(sorted(available))}: {why}", hint)


PROBE = Probe(
    name="cgroup controllers",
    group=Feature.LIMITS,
    purpose="Gives each job its own CPUs, memory limit and share of the disk.",
    needed_by=(Feature.MODE,),
    used_by=(Feature.LIMITS,),
    run=run,
)
