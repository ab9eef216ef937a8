"""What this machine has for jobs: read once at start, from topology, cgroup limits, meminfo and NVML."""

import os
from collections.abc import Callable
from pathlib import PurePosixPath

from mlosd.jobs.ledger import Capacity, Ledger
from mlosd.kernel import cgroup_tree, meminfo, mountinfo, nvml, topology


def ledger(*, cpus: int, memory_reserve: int, read_gpus: Callable[[], nvml.Gpus] = nvml.read) -> Ledger:
    """An empty ledger of this machine. `cpus`: at most so many (0: all that we may use)."""
    machine = topology.read()
    usable = frozenset(machine.numbers) & frozenset(os.sched_getaffinity(0))
    if cpus:
        usable = frozenset(topology.choose_cpus(machine, usable, min(cpus, len(usable))) or ())
    gpus = read_gpus().gpus

    def choose(free: frozenset[int], count: int) -> tuple[int, ...] | None:
        return topology.choose_cpus(machine, free, count)

    def busy() -> frozenset[str]:
        return frozenset(gpu.uuid for gpu in read_gpus().gpus if gpu.processes) if gpus else frozenset()

    memory = max(0, _memory() - memory_reserve)
    return Ledger(Capacity(usable, memory, tuple(gpu.uuid for gpu in gpus)), choose, busy)


def _memory() -> int:
    """What there is, or what our own cgroup and its ancestors allow: whichever is less."""
    total = meminfo.read().total
    mount = cgroup_tree.mount_point(mountinfo.read())
    path = cgroup_tree.membership().path
    if mount is None or path is None or ".." in path.parts:
        return total
    limit = cgroup_tree.CgroupTree(mount).memory_limit(PurePosixPath(path))
    return min(total, limit) if limit is not None else total
