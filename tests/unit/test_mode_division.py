"""Division: which CPUs train and which keep house, on machines of all shapes; and where they are read from."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.tree import materialize

from mlosd.core.errors import BadRequest
from mlosd.kernel import cpulist, pci_node, topology
from mlosd.kernel.topology import Cpu, Topology
from mlosd.mode.division import Division, Wanted, around, divide

NONE: frozenset[int] = frozenset()


def cpus(text: str) -> frozenset[int]:
    return frozenset(cpulist.parse(text))


def plain(count: int) -> Topology:
    """One socket, one cache, no SMT."""
    return Topology(tuple(Cpu(number, core=number, cache=0, node=0) for number in range(count)))


def smt(cores: int) -> Topology:
    """Two threads a core, the second ones numbered after all first ones, as most firmware does."""
    return Topology(tuple(Cpu(number, core=number % cores, cache=0, node=0) for number in range(2 * cores)))


TWO_NODES = Topology(tuple(Cpu(number, number, cache=number // 4 * 4, node=number // 4) for number in range(8)))
EPYC = Topology(  # 64 CPUs: two nodes of four caches, four cores of two threads on each
    tuple(Cpu(number, core=number % 32, cache=number % 32 // 4 * 4, node=number % 32 // 16) for number in range(64))
)
HYBRID = Topology(  # two fast cores of two threads, four small ones; one cache
    tuple(Cpu(number, core=number // 2 * 2 if number < 4 else number, cache=0, node=0) for number in range(8))
)
OFFLINE = Topology(tuple(cpu for cpu in smt(4).cpus if cpu.number not in (2, 5)))  # core 1 and core 2 are halves now

COUNTED = [
    # machine, wanted, held, isolated, near the GPU on, training
    (plain(2), 1, "", "", None, "1"),
    (plain(4), 2, "", "", None, "1-2"),
    (plain(4), 3, "", "", None, "1-3"),
    (smt(4), 2, "", "", None, "1,5"),  # a whole core; the boot CPU stays with the OS
    (smt(4), 3, "", "", None, "1-2,5-6"),  # rounded up to whole cores
    (smt(4), 6, "", "", None, "1-3,5-7"),
    (smt(4), 2, "1,5", "", None, "2,6"),  # held by others
    (smt(4), 2, "1", "", None, "2,6"),  # half a core that others hold is nobody's
    (smt(4), 2, "", "3,7", None, "3,7"),  # isolated ones first
    (smt(4), 4, "", "3,7", None, "1,3,5,7"),  # and others where they are not enough
    (smt(4), 2, "", "2-3", None, "1,5"),  # half a core that is isolated is none
    (smt(4), 6, "", "1-3,5-7", None, "1-3,5-7"),
    (TWO_NODES, 2, "", "", None, "1-2"),
    (TWO_NODES, 2, "", "", 1, "5-6"),  # near the GPU
    (TWO_NODES, 3, "", "", 0, "1-3"),
    (TWO_NODES, 4, "", "", 0, "1-3,5"),  # each node keeps a core, and so training is on both
    (TWO_NODES, 6, "", "", 0, "1-3,5-7"),
    (TWO_NODES, 7, "", "", 0, "0-3,5-7"),  # no room: the GPU's node keeps none
    (TWO_NODES, 3, "1", "", 0, "5-7"),  # the GPU's node has only two
    (EPYC, 8, "", "", None, "4-7,36-39"),  # one whole cache
    (EPYC, 8, "", "", 1, "20-23,52-55"),
    (EPYC, 16, "", "", 1, "20-27,52-59"),
    (EPYC, 30, "", "", 1, "17-31,49-63"),  # the whole node but for the OS's core
    (EPYC, 32, "", "", 1, "1,17-31,33,49-63"),
    (EPYC, 32, "", "", None, "1-15,17,33-47,49"),
    (EPYC, 62, "", "", 1, "1-31,33-63"),
    (HYBRID, 4, "", "", None, "0-3"),  # the fast cores: the OS keeps a small one
    (HYBRID, 7, "", "", None, "0-3,5-7"),
    (OFFLINE, 2, "", "", None, "0,4"),  # core 1 is the cheapest whole core for the OS
    (OFFLINE, 5, "", "", None, "0,3-4,6-7"),
]


@pytest.mark.parametrize("case", COUNTED, ids=lambda case: f"{len(case[0].cpus)}-{'-'.join(map(str, case[1:]))}")
def test_training_gets_whole_cores_near_its_gpu_and_the_os_keeps_some(  # type: ignore[no-untyped-def]
    case,
) -> None:
    machine, wanted, held, isolated, near, training = case
    found = divide(machine, wanted=wanted, held=cpus(held), isolated=cpus(isolated), near=near)
    assert cpulist.format(found.training) == training
    assert found.housekeeping == frozenset(machine.numbers) - found.training


@pytest.mark.parametrize(
    ("machine", "wanted", "held", "isolated", "could"),
    [
        (plain(1), 1, "", "", 0),
        (smt(1), 1, "", "", 0),  # one core of two threads is one core
        (plain(2), 2, "", "", 1),
        (smt(4), 7, "", "", 6),
        (smt(4), 7, "1", "", 4),
        (plain(4), 4, "", "1-2", 3),
        (plain(4), 1, "", "0-3", 0),  # all are isolated: the OS would have no core that it schedules on
        (plain(4), 3, "1", "2-3", 2),
        (TWO_NODES, 8, "", "", 7),
    ],
)
def test_more_than_can_be_given_is_refused_with_how_many_could_be(  # type: ignore[no-untyped-def]
    machine, wanted, held, isolated, could
) -> None:
    with pytest.raises(BadRequest, match=f"{wanted} CPUs cannot be training's own: {could} could be") as refused:
        divide(machine, wanted=wanted, held=cpus(held), isolated=cpus(isolated))
    assert "--cpus all" in str(refused.value.hint)
    if could:
        divide(machine, wanted=could, held=cpus(held), isolated=cpus(isolated))


@pytest.mark.parametrize("wanted", [0, -1])
def test_no_cpus_at_all_are_a_mistake(wanted: int) -> None:
    with pytest.raises(BadRequest, match=f"{wanted} CPUs"):
        divide(plain(4), wanted=wanted)


def test_all_cpus_are_shared_by_weight() -> None:
    found = divide(smt(4), wanted="all")
    assert (found.training, found.housekeeping) == (NONE, cpus("0-7"))
    assert "by weight" in found.why[0]


def test_a_list_is_taken_as_it_is() -> None:
    assert divide(smt(4), wanted=cpus("0,4")) == Division(cpus("0,4"), cpus("1-3,5-7"))


def test_half_a_core_in_a_list_is_pointed_out() -> None:
    assert divide(smt(4), wanted=cpus("1-2,5")).why == (
        "CPU 6 is on the same core as one that trains: both are slower",
    )


@pytest.mark.parametrize(
    ("wanted", "held", "isolated", "message", "hint"),
    [
        ("", "", "", "an empty list", "--cpus all"),
        ("1,9", "", "", "CPU 9 is not there, or offline", "online: 0-7"),
        ("8-9", "", "", "CPUs 8-9 are not there, or offline", "online: 0-7"),
        ("1,5", "5", "", "CPU 5 is held by others", "free: 0-4,6-7"),
        ("0-7", "", "", "CPUs 0-7 leave no whole core for the OS", "leave out 0,4"),
        ("0-3", "", "", "CPUs 0-3 leave no whole core for the OS", "leave out 0,4"),
        ("2,6", "0,3-4,7", "1,5", "CPUs 2,6 leave no whole core for the OS", "leave out 2,6"),
        ("1-3,5-7", "", "0,4", "leave no whole core for the OS", "leave out 1,5"),
        ("1", "", "0-7", "leave no whole core for the OS", "--cpus all"),
    ],
)
def test_a_list_that_cannot_be_is_refused_in_one_line(
    wanted: str, held: str, isolated: str, message: str, hint: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        divide(smt(4), wanted=cpus(wanted), held=cpus(held), isolated=cpus(isolated))
    assert message in refused.value.message
    assert "\n" not in refused.value.message
    assert hint in str(refused.value.hint)


def test_an_offline_cpu_in_a_list_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"CPU 5 is not there, or offline"):
        divide(OFFLINE, wanted=cpus("1,5"))


def test_what_is_not_as_one_would_wish_is_said() -> None:
    def why(**how: object) -> str:
        return "; ".join(divide(**how).why)  # type: ignore[arg-type]

    assert "4 CPUs instead of 3" in why(topology=smt(4), wanted=3)
    assert "on nodes 0-1" in why(topology=TWO_NODES, wanted=4, near=0)
    assert "node 0 keeps no core for the OS" in why(topology=TWO_NODES, wanted=7, near=0)
    assert "not near the GPU: it is on node 0, the CPUs are on node 1" in why(
        topology=TWO_NODES, wanted=3, held=cpus("1"), near=0
    )
    assert "CPUs 3,7 are isolated" in why(topology=smt(4), wanted=2, isolated=cpus("3,7"))
    assert why(topology=TWO_NODES, wanted=3, near=0) == ""


def test_pinned_training_keeps_its_cpus() -> None:
    assert around(smt(4), cpus("1,5"), NONE) == Division(cpus("1,5"), cpus("0,2-4,6-7"))


@pytest.mark.parametrize(("pinned", "isolated"), [("0-7", ""), ("0-3", ""), ("1,5", "0,2-4,6-7")])
def test_pinned_training_that_leaves_no_core_for_the_os_has_weight_only(pinned: str, isolated: str) -> None:
    found = around(smt(4), cpus(pinned), cpus(isolated))
    assert (found.training, found.housekeeping) == (NONE, cpus("0-7"))
    assert "no whole core for the OS" in found.why[0]


def test_a_pin_to_a_cpu_that_went_away_does_not_count() -> None:
    assert around(plain(4), cpus("1,9"), NONE).training == cpus("1")
    assert around(plain(4), cpus("9"), NONE).training == NONE


@st.composite
def machines(draw: st.DrawFn) -> Topology:
    threads, cores = draw(st.sampled_from([1, 2])), draw(st.integers(1, 12))
    per_cache = draw(st.integers(1, 6))
    per_node = per_cache * draw(st.integers(1, 3))
    every = tuple(
        Cpu(core * threads + thread, core * threads, core // per_cache, core // per_node)
        for core in range(cores)
        for thread in range(threads)
    )
    offline = draw(st.sets(st.sampled_from(every), max_size=min(3, len(every) - 1)))
    return Topology(tuple(cpu for cpu in every if cpu not in offline))


def whole_cores(machine: Topology, among: frozenset[int]) -> int:
    all_threads = Counter(cpu.core for cpu in machine.cpus)
    these = Counter(cpu.core for cpu in machine.cpus if cpu.number in among)
    return sum(these[core] == threads for core, threads in all_threads.items())


@given(machines(), st.data())
def test_the_os_always_keeps_a_whole_core_or_the_wish_is_refused(machine: Topology, data: st.DataObject) -> None:
    some = st.frozensets(st.sampled_from(machine.numbers))
    wanted: Wanted = data.draw(st.one_of(st.integers(1, len(machine.numbers)), some, st.just("all")))
    held, isolated = data.draw(some), data.draw(some)
    near = data.draw(st.sampled_from([None, *machine.nodes]))
    online = frozenset(machine.numbers)
    try:
        found = divide(machine, wanted=wanted, held=held, isolated=isolated, near=near)
    except BadRequest:
        return
    assert found == divide(machine, wanted=wanted, held=held, isolated=isolated, near=near)
    assert not found.training & found.housekeeping
    assert found.training | found.housekeeping == online
    if wanted == "all":
        assert not found.training
        return
    assert not found.training & held
    assert whole_cores(machine, found.housekeeping - held - isolated) >= 1
    if isinstance(wanted, int):
        assert wanted <= len(found.training) <= wanted + 1
        assert whole_cores(machine, found.training) == len(
            {cpu.core for cpu in machine.cpus if cpu.number in found.training}
        )
    else:
        assert found.training == wanted


@given(machines(), st.data())
def test_a_refused_count_is_really_too_large(machine: Topology, data: st.DataObject) -> None:
    held = data.draw(st.frozensets(st.sampled_from(machine.numbers)))
    broken = {cpu.core for cpu in machine.cpus if cpu.number in held}
    usable = [cpu for cpu in machine.cpus if cpu.core not in broken]
    smallest = min(Counter(cpu.core for cpu in usable).values(), default=0)
    most = len(usable) - smallest
    with pytest.raises(BadRequest, match=f": {most} could be"):
        divide(machine, wanted=most + 1, held=held)
    if most:
        assert len(divide(machine, wanted=most, held=held).training) == most


@given(machines(), st.data())
def test_whatever_is_pinned_the_os_has_a_core_or_all(machine: Topology, data: st.DataObject) -> None:
    some = st.frozensets(st.integers(0, 30))
    found = around(machine, data.draw(some), data.draw(some))
    assert found.training | found.housekeeping == frozenset(machine.numbers)
    assert not found.training & found.housekeeping
    assert whole_cores(machine, found.housekeeping) >= 1


# --- where it is read from ---

ISOLATED = "devices/system/cpu/isolated"


@pytest.mark.parametrize(("text", "found"), [("2-3,6\n", "2-3,6"), ("\n", ""), ("", "")])
def test_isolated_cpus_are_read(tmp_path: Path, text: str, found: str) -> None:
    assert topology.isolated(materialize(tmp_path, {ISOLATED: text})) == cpus(found)


def test_a_kernel_that_does_not_tell_isolates_none(tmp_path: Path) -> None:
    assert topology.isolated(tmp_path) == NONE


def test_a_malformed_list_of_isolated_cpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CPU list"):
        topology.isolated(materialize(tmp_path, {ISOLATED: "domain,2-3\n"}))


NODE = "bus/pci/devices/0000:65:00.0/numa_node"


@pytest.mark.parametrize("address", ["0000:65:00.0", "00000000:65:00.0", "00000000:65:00.0".upper()])
def test_the_node_of_a_device_is_read(tmp_path: Path, address: str) -> None:
    assert pci_node.of_device(address, materialize(tmp_path, {NODE: "1\n"})) == 1


def test_a_device_without_a_node_or_without_anything_has_none(tmp_path: Path) -> None:
    assert pci_node.of_device("0000:65:00.0", materialize(tmp_path / "a", {NODE: "-1\n"})) is None
    assert pci_node.of_device("0000:65:00.0", tmp_path / "b") is None


@pytest.mark.parametrize("address", ["", "65:00", "../../../x", "0000:65:00.9"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError, match="PCI address"):
        pci_node.of_device(address, tmp_path)


def test_a_malformed_node_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        pci_node.of_device("0000:65:00.0", materialize(tmp_path, {NODE: "none\n"}))


def test_the_node_of_a_gpu_is_that_of_its_slot(tmp_path: Path) -> None:
    proc = {
        "proc/driver/nvidia/gpus/0000:17:00.0/information": "Model: \t\t NVIDIA L4\nGPU UUID: \t GPU-????????\n",
        "proc/driver/nvidia/gpus/0000:65:00.0/information": "Model: \t\t NVIDIA H200\nGPU UUID: \t GPU-aaaa\n",
    }
    root = materialize(tmp_path, {f"sys/{NODE}": "1\n", **proc})
    assert pci_node.of_gpu("GPU-aaaa", sys=root / "sys", proc=root / "proc") == 1
    assert pci_node.of_gpu("GPU-bbbb", sys=root / "sys", proc=root / "proc") is None
    assert pci_node.of_gpu("GPU-aaaa", sys=root / "sys", proc=root / "nowhere") is None
