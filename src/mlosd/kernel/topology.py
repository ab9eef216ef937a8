"""Which CPUs share a core, a last-level cache and a memory node, from sysfs (admin-guide/cputopology)."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from mlosd.kernel import cpulist


@dataclass(frozen=True, slots=True)
class Cpu:
    """One online CPU. A core, a cache and a node are named by the lowest CPU number, or the node's own number."""

    number: int
    core: int
    cache: int
    node: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The online CPUs, ascending."""

    cpus: tuple[Cpu, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(cpu.number for cpu in self.cpus)

    @property
    def cores(self) -> int:
        return len({cpu.core for cpu in self.cpus})

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(sorted({cpu.node for cpu in self.cpus}))


def read(sys: Path = Path("/sys")) -> Topology:
    """The machine as it is now. What sysfs does not tell is assumed away: each CPU a core, one cache, one node."""
    devices = sys / "devices/system"
    online = cpulist.parse((devices / "cpu/online").read_text(encoding="ascii"))
    nodes = _nodes(devices / "node")
    return Topology(tuple(_cpu(devices / f"cpu/cpu{number}", number, nodes, online) for number in online))


def isolated(sys: Path = Path("/sys")) -> frozenset[int]:
    """The CPUs that `isolcpus=` of the kernel command line took from the scheduler (kernel-parameters)."""
    return frozenset(_list_or_none(sys / "devices/system/cpu/isolated") or ())


def _cpu(directory: Path, number: int, nodes: dict[int, int], online: tuple[int, ...]) -> Cpu:
    siblings = _list_or_none(directory / "topology/thread_siblings_list") or (number,)
    sharing = _last_level_cache(directory) or _list_or_none(directory / "topology/core_siblings_list") or online
    return Cpu(number=number, core=min(siblings), cache=min(sharing), node=nodes.get(number, 0))


def _last_level_cache(directory: Path) -> tuple[int, ...] | None:
    """The CPUs that share this CPU's cache of the highest level."""
    levels = {}
    for index in sorted(directory.glob("cache/index*")):
        level = _text_or_none(index / "level")
        shared = _list_or_none(index / "shared_cpu_list")
        if level is not None and shared:
            levels[int(level)] = shared
    return levels[max(levels)] if levels else None


def _nodes(directory: Path) -> dict[int, int]:
    """CPU number -> memory node."""
    return {
        cpu: int(node.name.removeprefix("node"))
        for node in sorted(directory.glob("node[0-9]*"))
        for cpu in _list_or_none(node / "cpulist") or ()
    }


def _list_or_none(file: Path) -> tuple[int, ...] | None:
    text = _text_or_none(file)
    return None if text is None else cpulist.parse(text)


def _text_or_none(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii")
    except FileNotFoundError:
        return None


def choose_cpus(topology: Topology, free: Collection[int], count: int) -> tuple[int, ...] | None:
    """Pick `count` of the free CPUs for one job, ascending; None when there are too few.

    Whole cores first, because two jobs on one core slow each other down; then the smallest neighbourhood that is
    enough (one last-level cache, one memory node, the machine), because memory and caches are near there. Of several
    equally good ones the fullest is taken, so that large gaps stay for large jobs; then the lowest CPU numbers.
    The same arguments always give the same answer.
    """
    if count < 0:
        raise ValueError(f"cannot choose {count} CPUs")
    if count == 0:
        return ()
    usable = [cpu for cpu in topology.cpus if cpu.number in free]
    whole = _of_whole_cores(topology, usable)
    for candidates in (whole, usable):
        for neighbourhood in (_by_cache, _by_node, _by_machine):
            enough = [group for group in _groups(candidates, neighbourhood) if len(group) >= count]
            if enough:
                # Shorter is fuller; groups come in order of their lowest CPU, and min() keeps the first of equals.
                return _take(min(enough, key=len), whole, count)
    return None


def _take(group: list[Cpu], whole: list[Cpu], count: int) -> tuple[int, ...]:
    """`count` CPUs of `group`: whole cores before broken ones, and few caches rather than many."""
    room = Counter(cpu.cache for cpu in group)
    of_whole = {cpu.number for cpu in whole}
    ordered = sorted(
        group,
        key=lambda cpu: (cpu.number not in of_whole, -room[cpu.cache], cpu.cache, cpu.core, cpu.number),
    )
    return tuple(sorted(cpu.number for cpu in ordered[:count]))


def _of_whole_cores(topology: Topology, usable: list[Cpu]) -> list[Cpu]:
    """The usable CPUs on cores of which every online thread is usable."""
    threads = Counter(cpu.core for cpu in topology.cpus)
    usable_threads = Counter(cpu.core for cpu in usable)
    return [cpu for cpu in usable if usable_threads[cpu.core] == threads[cpu.core]]


def _groups(cpus: list[Cpu], neighbourhood: Callable[[Cpu], int]) -> list[list[Cpu]]:
    groups: dict[int, list[Cpu]] = {}
    for cpu in cpus:
        groups.setdefault(neighbourhood(cpu), []).append(cpu)
    return list(groups.values())


def _by_cache(cpu: Cpu) -> int:
    return cpu.cache


def _by_node(cpu: Cpu) -> int:
    return cpu.node


def _by_machine(_: Cpu) -> int:
    return 0
