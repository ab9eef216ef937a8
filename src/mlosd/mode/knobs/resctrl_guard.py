"""Everything but training gets at most so many per cent of the memory bandwidth (resctrl, filesystems/resctrl).

Neighbours that stream through memory slow a training though they never run on its CPUs: by 40 % on average in one study
of machines with accelerators (Kelp, HPCA 2019). Where the CPU can divide the bandwidth (Intel RDT's MBA), the CPUs that
are not training's become a group, mlos-background, that may use no more than this share for each core: 50 is a good
start. The group is removed when the mode ends, and its CPUs are in the default group again.

resctrl must be mounted: mount -t resctrl resctrl /sys/fs/resctrl. Nothing is mounted, or moved away from a group of
somebody else's: CPUs in such a group stay there, as do tasks. The share is approximate and is rounded up to what the
hardware has. On some CPUs both threads of a core get the lower share of the two, so training should have whole cores.
AMD and the mount option mba_MBps count bandwidth in other units than per cent; there it is left out.
"""

from collections.abc import Iterator
from pathlib import Path

from mlosd.kernel import cpulist
from mlosd.mode.housekeeping import undivided
from mlosd.mode.knob import Cannot, Knob, Want, Wish, number
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.change import NORMAL
from mlosd.undo.kinds import resctrl

GROUP = "mlos-background"
# Removing the group takes its CPUs and limits with it, so that goes first; of the rest nothing is left to undo.
_REMOVED_FIRST = NORMAL - 1


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """A group with the other CPUs, and its limit."""
    root = scene.host.sys / "fs/resctrl"
    group = root / GROUP
    shares = resctrl.values(root, "MB")
    cpus = _available(root, group, scene)
    if reason := undivided(scene) or _why_not(root, group, shares) or (None if cpus else "other groups have all CPUs"):
        yield Cannot(str(group), reason)
        return
    assert isinstance(setting, int)
    limit = _step(root / "info/MB", setting)
    yield Want("directory", str(group), "", rank=_REMOVED_FIRST)
    yield Want("schemata", f"{group}/schemata MB", resctrl.line("MB", dict.fromkeys(shares, limit)))
    yield Want("resctrl-cpus", f"{group}/cpus_list", cpulist.format(cpus))


def _why_not(root: Path, group: Path, shares: dict[str, int]) -> str | None:
    if not root.is_dir():
        return "this kernel, or this CPU, has no resctrl"
    if not (root / "schemata").exists():
        return "resctrl is not mounted; mount -t resctrl resctrl /sys/fs/resctrl"
    if not shares:
        return "this CPU cannot divide memory bandwidth"
    if max(shares.values()) > 100:
        return "memory bandwidth is not counted in per cent here"
    # No task of ours is ever in it: we give it CPUs.
    if group.is_dir() and (group / "tasks").read_text(encoding="ascii").split():
        return "there is a group of this name with tasks in it: somebody else's"
    return None


def _available(root: Path, group: Path, scene: Scene) -> frozenset[int]:
    """CPUs left to others that are in the default group, or in ours."""
    free: set[int] = set()
    for file in (root / "cpus_list", group / "cpus_list"):
        if file.exists():
            free.update(cpulist.parse(file.read_text(encoding="ascii")))
    return scene.housekeeping & free


def _step(info: Path, share: int) -> int:
    """The control step that the kernel would round to: min_bandwidth + N * bandwidth_gran."""
    low = int((info / "min_bandwidth").read_text(encoding="ascii"))
    step = int((info / "bandwidth_gran").read_text(encoding="ascii"))
    return max(low, -(-share // step) * step)


KNOB = Knob(name="resctrl-guard", use="optional", stage=53, wishes=wishes, accepts=number(1, 99))
