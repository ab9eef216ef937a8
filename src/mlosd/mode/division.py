"""Which CPUs train and which keep house. Pure: the same machine and wishes always give the same answer.

Training gets whole cores, near its GPU and within one last-level cache where they fit; the OS keeps at least one whole
core, and one on each memory node where the wanted count leaves room. CPUs that the kernel command line isolates
(`isolcpus=`) are what training gets first, and do not count as the OS's: the scheduler moves nothing there.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from mlosd.core.errors import BadRequest
from mlosd.kernel import cpulist
from mlosd.kernel.topology import Topology, choose_cpus

Wanted = int | frozenset[int] | Literal["all"]
_SHARE = "--cpus all shares all of them by weight"


@dataclass(frozen=True, slots=True)
class Division:
    """`training`: CPUs of its own; empty: it shares all of them by weight. `housekeeping`: all others that are online.

    `why`: what a person should know of it.
    """

    training: frozenset[int]
    housekeeping: frozenset[int]
    why: tuple[str, ...] = ()


def divide(
    topology: Topology,
    *,
    wanted: Wanted,
    held: frozenset[int] = frozenset(),
    isolated: frozenset[int] = frozenset(),
    near: int | None = None,
) -> Division:
    """The CPUs for one who asks. `held`: by others. `near`: the GPU's memory node. Raises BadRequest."""
    if wanted == "all":
        return _shared(topology, "training shares all CPUs by weight: none of them is kept idle for it")
    if isinstance(wanted, frozenset):
        return _named(topology, wanted, held, isolated)
    return _counted(topology, wanted, held, isolated, near)


def around(topology: Topology, pinned: frozenset[int], isolated: frozenset[int]) -> Division:
    """The division where training already has its CPUs, each job its own: that is a fact, and nothing to choose.

    Where they leave no whole core for the OS, everybody else cannot be sent away from them: there is weight only.
    """
    training = pinned & frozenset(topology.numbers)
    if not training:
        return _shared(topology, "training has no CPUs of its own: it shares all of them by weight")
    if not _untouched(topology, training | isolated):
        return _shared(
            topology,
            f"training has CPUs {cpulist.format(training)}, which leaves no whole core for the OS: "
            "all others share them, by weight",
        )
    return _division(topology, training, isolated, [])


def _named(topology: Topology, wanted: frozenset[int], held: frozenset[int], isolated: frozenset[int]) -> Division:
    if not wanted:
        raise BadRequest("an empty list of CPUs", hint=_SHARE)
    online = frozenset(topology.numbers)
    if missing := wanted - online:
        raise BadRequest(f"{_cpus(missing)} not there, or offline", hint=f"online: {cpulist.format(online)}")
    if taken := wanted & held:
        raise BadRequest(
            f"{_cpus(taken)} held by others", hint=f"free: {cpulist.format(online - held) or 'none'}; or {_SHARE}"
        )
    if not _untouched(topology, wanted | held | isolated):
        spare = _untouched(topology, held | isolated)
        raise BadRequest(
            f"CPUs {cpulist.format(wanted)} leave no whole core for the OS",
            hint=f"leave out {cpulist.format(_threads(topology, spare[:1]))}; or {_SHARE}" if spare else _SHARE,
        )
    return _division(topology, wanted, isolated, [])


def _counted(
    topology: Topology, wanted: int, held: frozenset[int], isolated: frozenset[int], near: int | None
) -> Division:
    if wanted < 1:
        raise BadRequest(f"{wanted} CPUs for training", hint=f"one or more; {_SHARE}")
    free = _whole(topology, frozenset(topology.numbers) - held)
    kept = _kept(topology, free, isolated, wanted, near)
    candidates = free - kept
    if not kept or len(candidates) < wanted:
        could = len(candidates) if kept else 0
        raise BadRequest(
            f"{wanted} CPUs cannot be training's own: {could} could be, in whole cores, and the OS keeps one core",
            hint=f"--cpus {could}; or {_SHARE}" if could else _SHARE,
        )
    numbers = _chosen(topology, candidates, wanted, isolated, near)
    chosen = _threads(topology, {cpu.core for cpu in topology.cpus if cpu.number in numbers})
    why = []
    if len(chosen) > wanted:
        why.append(f"{len(chosen)} CPUs instead of {wanted}: whole cores, or a stranger would share one")
    why += _place(topology, chosen, near, wanted)
    why += [
        f"node {node} keeps no core for the OS"
        for node in topology.nodes
        if len(topology.nodes) > 1 and not any(cpu.number in kept for cpu in topology.cpus if cpu.node == node)
    ]
    return _division(topology, chosen, isolated, why)


def _kept(
    topology: Topology, free: frozenset[int], isolated: frozenset[int], wanted: int, near: int | None
) -> frozenset[int]:
    """The cores that the OS keeps: one of each node while `wanted` still fits, and one in any case.

    Of a node the core with the fewest threads (a small one of a hybrid machine), then the lowest. The GPU's node last.
    """
    size = Counter(cpu.core for cpu in topology.cpus)
    possible = {cpu.core: cpu for cpu in topology.cpus if cpu.number in _whole(topology, free - isolated)}
    cheapest = sorted(possible, key=lambda core: (size[core], core))
    of_node: dict[int, int] = {}
    for core in cheapest:
        of_node.setdefault(possible[core].node, core)
    kept: frozenset[int] = frozenset()
    for node in sorted(of_node, key=lambda node: (node == near, size[of_node[node]], of_node[node])):
        more = kept | _threads(topology, [of_node[node]])
        if len(free - more) >= wanted:
            kept = more
    return kept or _threads(topology, cheapest[:1])


def _chosen(
    topology: Topology, candidates: frozenset[int], count: int, isolated: frozenset[int], near: int | None
) -> frozenset[int]:
    """`count` of the candidates: isolated cores before others."""
    first = _whole(topology, candidates & isolated)
    if len(first) >= count:
        return _near(topology, first, count, near)
    return first | _near(topology, candidates - first, count - len(first), near)


def _near(topology: Topology, pool: frozenset[int], count: int, near: int | None) -> frozenset[int]:
    """`count` of the pool: on the node `near`, else on one node, else on as few as it takes, `near` among them."""
    nodes = {node: frozenset(cpu.number for cpu in topology.cpus if cpu.node == node) & pool for node in topology.nodes}
    if found := choose_cpus(topology, nodes.get(near, ()) if near is not None else (), count):
        return frozenset(found)
    if any(len(cpus) >= count for cpus in nodes.values()):
        return frozenset(choose_cpus(topology, pool, count) or ())
    start = near if near is not None and nodes.get(near) else max(nodes, key=lambda node: len(nodes[node]))
    return nodes[start] | _near(topology, pool - nodes[start], count - len(nodes[start]), None)


def _division(topology: Topology, training: frozenset[int], isolated: frozenset[int], why: Iterable[str]) -> Division:
    said = list(why)
    housekeeping = frozenset(topology.numbers) - training
    touched = {cpu.core for cpu in topology.cpus if cpu.number in training}
    if beside := _threads(topology, touched) - training:
        said.append(f"{_cpus(beside)} on the same core as one that trains: both are slower")
    if ours := training & isolated:
        # kernel-parameters: "isolcpus= ... no load balancing": all threads stay where they began.
        said.append(f"{_cpus(ours)} isolated: the kernel balances no load there, each thread has to be pinned")
    return Division(training, housekeeping, tuple(said))


def _place(topology: Topology, chosen: frozenset[int], near: int | None, wanted: int) -> list[str]:
    """Where they are, as far as it is not what one would wish."""
    nodes = sorted({cpu.node for cpu in topology.cpus if cpu.number in chosen})
    said = []
    if len(nodes) > 1:
        said.append(f"no memory node has room for {wanted} CPUs beside the OS: they are on {_nodes(nodes)}")
    if near is not None and near not in nodes:
        said.append(f"not near the GPU: it is on node {near}, the CPUs are on {_nodes(nodes)}")
    return said


def _shared(topology: Topology, why: str) -> Division:
    return Division(frozenset(), frozenset(topology.numbers), (why,))


def _untouched(topology: Topology, cpus: Collection[int]) -> list[int]:
    """The cores of which no thread is among `cpus`."""
    touched = {cpu.core for cpu in topology.cpus if cpu.number in cpus}
    return sorted({cpu.core for cpu in topology.cpus} - touched)


def _threads(topology: Topology, cores: Collection[int]) -> frozenset[int]:
    return frozenset(cpu.number for cpu in topology.cpus if cpu.core in cores)


def _whole(topology: Topology, cpus: frozenset[int]) -> frozenset[int]:
    """Those of `cpus` whose core is wholly among them."""
    return _threads(topology, _untouched(topology, frozenset(topology.numbers) - cpus))


def _cpus(numbers: Collection[int]) -> str:
    """With its verb: "CPU 3 is", "CPUs 3,5 are"."""
    return f"CPU {min(numbers)} is" if len(numbers) == 1 else f"CPUs {cpulist.format(numbers)} are"


def _nodes(numbers: Collection[int]) -> str:
    return f"node {min(numbers)}" if len(numbers) == 1 else f"nodes {cpulist.format(numbers)}"
