"""Topology: machines as small sysfs trees, and which CPUs a job gets on them."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.tree import materialize

from mlosd.kernel import cpulist, topology
from mlosd.kernel.topology import Cpu, Topology, choose_cpus


def machine(
    root: Path, *, online: str, siblings: Mapping[int, str], caches: Mapping[str, str], nodes: Mapping[int, str]
) -> Path:
    """A sysfs tree. `siblings`: CPU -> threads of its core; `caches`: CPUs -> CPUs that share their L3."""
    files = {"devices/system/cpu/online": f"{online}\n"}
    for cpu, threads in siblings.items():
        files[f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{threads}\n"
    for cpus, shared in caches.items():
        for cpu in cpulist.parse(cpus):
            base = f"devices/system/cpu/cpu{cpu}/cache"
            files |= {f"{base}/index0/level": "1\n", f"{base}/index0/shared_cpu_list": f"{cpu}\n"}
            files |= {f"{base}/index3/level": "3\n", f"{base}/index3/shared_cpu_list": f"{shared}\n"}
    for node, cpus in nodes.items():
        files[f"devices/system/node/node{node}/cpulist"] = f"{cpus}\n"
    return materialize(root, files)


def smt(root: Path) -> Path:
    """One socket, four cores of two threads, one cache."""
    return machine(
        root,
        online="0-7",
        siblings={cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)},
        caches={"0-7": "0-7"},
        nodes={0: "0-7"},
    )


def two_nodes(root: Path) -> Path:
    """Two sockets, each with two caches of two cores without SMT."""
    return machine(
        root,
        online="0-7",
        siblings={cpu: str(cpu) for cpu in range(8)},
        caches={"0-1": "0-1", "2-3": "2-3", "4-5": "4-5", "6-7": "6-7"},
        nodes={0: "0-3", 1: "4-7"},
    )


def hybrid(root: Path) -> Path:
    """Two fast cores of two threads, and four small ones without SMT that share another cache."""
    return machine(
        root,
        online="0-7",
        siblings={0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", 4: "4", 5: "5", 6: "6", 7: "7"},
        caches={"0-3": "0-3", "4-7": "4-7"},
        nodes={0: "0-7"},
    )


def with_holes(root: Path) -> Path:
    """CPUs 2 and 5 are offline: their files are gone, and CPU 2's sibling runs alone."""
    return machine(
        root,
        online="0-1,3-4,6-7",
        siblings={0: "0,4", 4: "0,4", 1: "1", 3: "3,7", 7: "3,7", 6: "6"},
        caches={"0-1,3-4,6-7": "0-1,3-4,6-7"},
        nodes={0: "0-1,3-4,6-7"},
    )


def test_threads_caches_and_nodes_are_read(tmp_path: Path) -> None:
    found = topology.read(two_nodes(tmp_path))
    assert found.cpus[5] == Cpu(number=5, core=5, cache=4, node=1)
    assert (found.cores, found.nodes) == (8, (0, 1))


def test_the_two_threads_of_a_core_are_one_core(tmp_path: Path) -> None:
    found = topology.read(smt(tmp_path))
    assert [cpu.core for cpu in found.cpus] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert found.cores == 4


def test_offline_cpus_are_not_there(tmp_path: Path) -> None:
    assert topology.read(with_holes(tmp_path)).numbers == (0, 1, 3, 4, 6, 7)


def test_a_machine_that_tells_only_its_cpus_has_one_cache_and_one_node(tmp_path: Path) -> None:
    found = topology.read(materialize(tmp_path, {"devices/system/cpu/online": "0-1\n"}))
    assert found.cpus == (Cpu(0, core=0, cache=0, node=0), Cpu(1, core=1, cache=0, node=0))


def test_without_sysfs_there_is_no_topology(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        topology.read(tmp_path)


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CPU list"):
        topology.read(materialize(tmp_path, {"devices/system/cpu/online": "zero\n"}))


CHOICES = [
    # machine, free CPUs, how many, chosen
    (smt, "0-7", 2, "0,4"),  # a whole core, not two halves
    (smt, "0-7", 3, "0-1,4"),
    (smt, "0,1-3,5-7", 2, "1,5"),  # core 0 is half taken: leave it
    (smt, "0-3", 2, "0-1"),  # only halves are left
    (smt, "0,1,5", 3, "0-1,5"),  # a whole core and then a half
    (smt, "0-7", 8, "0-7"),
    (smt, "0-7", 9, None),
    (smt, "", 1, None),
    (smt, "0-7", 0, ""),
    (two_nodes, "0-7", 2, "0-1"),  # one cache
    (two_nodes, "0-7", 4, "0-3"),  # one node
    (two_nodes, "0,2,3,4-7", 2, "2-3"),  # one cache, not CPUs 0 and 2
    (two_nodes, "0,2-7", 1, "0"),  # the fullest gap that is enough
    (two_nodes, "0-2,4-7", 4, "4-7"),  # one node, not two
    (two_nodes, "0-2,4-7", 3, "0-2"),  # the fuller node
    (two_nodes, "0,4-7", 5, "0,4-7"),  # the machine
    (two_nodes, "1,3,4,6,7", 3, "4,6-7"),  # node 1, because node 0 has only two
    (hybrid, "0-7", 2, "0-1"),
    (hybrid, "0,4-7", 2, "4-5"),  # whole small cores before half a fast one
    (hybrid, "0-7", 4, "0-3"),
    (with_holes, "0-1,3-4,6-7", 2, "0,4"),
    (with_holes, "1,3,6", 2, "1,6"),  # threads whose sibling is offline are whole cores
    (with_holes, "0-7", 6, "0-1,3-4,6-7"),
    (with_holes, "2,5", 1, None),  # free, but offline
]


@pytest.mark.parametrize(("build", "free", "count", "chosen"), CHOICES)
def test_a_job_gets_whole_cores_that_are_near_each_other(tmp_path: Path, build, free, count, chosen) -> None:  # type: ignore[no-untyped-def]
    expected = None if chosen is None else cpulist.parse(chosen)
    assert choose_cpus(topology.read(build(tmp_path)), set(cpulist.parse(free)), count) == expected


def test_fewer_than_none_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="-1"):
        choose_cpus(Topology(()), set(), -1)


@st.composite
def machines(draw: st.DrawFn) -> Topology:
    threads = draw(st.sampled_from([1, 2]))
    cores = draw(st.integers(1, 16))
    per_cache = draw(st.integers(1, 8))
    per_node = per_cache * draw(st.integers(1, 4))
    return Topology(
        tuple(
            Cpu(core * threads + thread, core * threads, core // per_cache, core // per_node)
            for core in range(cores)
            for thread in range(threads)
        )
    )


@given(machines(), st.data())
def test_the_choice_is_free_cpus_as_many_as_asked_or_none_when_there_are_too_few(
    found: Topology, data: st.DataObject
) -> None:
    free = data.draw(st.sets(st.sampled_from(found.numbers)))
    count = data.draw(st.integers(0, len(found.numbers) + 1))
    chosen = choose_cpus(found, free, count)
    if count > len(free):
        assert chosen is None
    else:
        assert chosen is not None
        assert len(chosen) == count
        assert set(chosen) <= free
        assert list(chosen) == sorted(chosen)
