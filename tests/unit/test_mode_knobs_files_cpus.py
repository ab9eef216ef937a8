"""Knobs that keep training's CPUs to itself: interrupts, workers, packets, memory bandwidth."""

from pathlib import Path

import pytest
from tests.fakes.small_machine import machine, wishes

from mlosd.mode.knob import Cannot, Want
from mlosd.mode.plan import plan
from mlosd.mode.reconcile import reconcile
from mlosd.mode.scene import Setting
from mlosd.undo import kinds
from mlosd.undo.change import NORMAL
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import order

IRQ = "proc/irq/{}/{}"
WORKQUEUE = "sys/devices/virtual/workqueue/"
RPS = "sys/class/net/eth0/queues/rx-{}/rps_cpus"
XPS = "sys/class/net/eth0/queues/tx-{}/xps_cpus"
RESCTRL = "sys/fs/resctrl/"
ALL: dict[str, Setting] = {
    **dict.fromkeys(("irq-affinity", "default-irq-affinity", "workqueue-cpumask", "writeback-cpumask"), True),
    "receive-packet-steering": "all",
    "transmit-packet-steering": True,
    "resctrl-guard": 50,
}


def irqs(**allowed: str) -> dict[str, str]:
    """Interrupts by number, each with a handler."""
    files = {IRQ.format(name.lstrip("n"), "smp_affinity_list"): f"{text}\n" for name, text in allowed.items()}
    return files | {IRQ.format(name.lstrip("n"), "driver/x"): "" for name in allowed}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("training", "reason"), [(frozenset[int](), "shares all CPUs"), (frozenset(range(4)), "none is left")]
)
def test_nothing_is_moved_where_training_has_no_cpus_of_its_own_or_all_of_them(
    tmp_path: Path, name: str, training: frozenset[int], reason: str
) -> None:
    files = irqs(n9="0-3") | {f"{WORKQUEUE}cpumask": "f\n", RPS.format(0): "f\n", XPS.format(0): "f\n"}
    (only,) = wishes(name, ALL[name], machine(tmp_path, files, training=training))
    assert isinstance(only, Cannot)
    assert reason in only.reason


@pytest.mark.parametrize("name", ["default-irq-affinity", "workqueue-cpumask", "writeback-cpumask"])
def test_a_kernel_without_such_a_mask_says_so(tmp_path: Path, name: str) -> None:
    (only,) = wishes(name, True, machine(tmp_path, {}))
    assert isinstance(only, Cannot)
    assert "does not have it" in only.reason


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        ("0-3", "0-1"),
        ("1-2", "1"),  # it stays on the CPU near its device
        ("3", "0-1"),  # it has nowhere else to go
        ("0", "0"),
        ("0-63", "0-1,4-63"),  # CPUs that are not there yet are nobody's
        ("2-63", "0-1"),
    ],
)
def test_an_interrupt_leaves_training_and_stays_near_its_device(tmp_path: Path, now: str, wanted: str) -> None:
    (only,) = wishes("irq-affinity", True, machine(tmp_path, irqs(n9=now)))
    assert only == Want("cpulist", str(tmp_path / IRQ.format(9, "smp_affinity_list")), wanted)


def test_interrupts_that_nobody_handles_are_left_alone(tmp_path: Path) -> None:
    scene = machine(tmp_path, {IRQ.format(5, "smp_affinity_list"): "0-3\n"} | irqs(n9="0-3"))
    (only,) = wishes("irq-affinity", True, scene)
    assert "/irq/9/" in only.target


def test_a_malformed_list_makes_the_knob_unavailable(tmp_path: Path) -> None:
    (only,) = plan({"irq-affinity": True}, machine(tmp_path, irqs(n9="max")), kinds.every(), []).steps
    assert (only.what, only.target) == ("unavailable", "irq-affinity")


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        ("f", "3"),
        ("00000000,0000000f", "3"),
        ("c", "3"),
        ("00000001", "00000001"),
        ("ffffffff,ffffffff", "ffffffff,fffffff3"),
    ],
)
def test_a_mask_loses_training_and_is_else_as_it_was(tmp_path: Path, now: str, wanted: str) -> None:
    scene = machine(tmp_path, {"proc/irq/default_smp_affinity": f"{now}\n"})
    (only,) = wishes("default-irq-affinity", True, scene)
    assert only == Want("mask", str(tmp_path / "proc/irq/default_smp_affinity"), wanted)


@pytest.mark.parametrize("text", ["", "max\n", "0-3\n"])
def test_a_malformed_mask_is_left_alone(tmp_path: Path, text: str) -> None:
    (only,) = wishes("writeback-cpumask", True, machine(tmp_path, {f"{WORKQUEUE}writeback/cpumask": text}))
    assert isinstance(only, Cannot)
    assert "not a CPU mask" in only.reason


def test_workers_whose_wider_mask_could_not_be_put_back_are_left_alone(tmp_path: Path) -> None:
    files = {f"{WORKQUEUE}cpumask": "7\n", f"{WORKQUEUE}cpumask_requested": "f\n"}
    (narrowed,) = wishes("workqueue-cpumask", True, machine(tmp_path, files))
    assert isinstance(narrowed, Cannot)
    files[f"{WORKQUEUE}cpumask"] = "0f\n"
    (only,) = wishes("workqueue-cpumask", True, machine(tmp_path, files))
    assert isinstance(only, Want)


def test_steering_is_not_turned_on_where_only_the_active_queues_are_meant(tmp_path: Path) -> None:
    files = {RPS.format(0): "0\n", RPS.format(1): "e\n", "sys/class/net/eth0/device/vendor": ""}
    scene = machine(tmp_path, files)
    (active,) = wishes("receive-packet-steering", "active", scene)
    assert active == Want("mask", str(tmp_path / RPS.format(1)), "2")
    assert [wish.value for wish in wishes("receive-packet-steering", "all", scene) if isinstance(wish, Want)] == [
        "3",
        "2",
    ]


def test_an_interface_without_a_device_does_not_begin_to_steer(tmp_path: Path) -> None:
    (only,) = wishes("receive-packet-steering", "all", machine(tmp_path, {RPS.format(0): "0\n"}))
    assert isinstance(only, Cannot)


def test_a_queue_of_trainings_own_stays_and_a_shared_one_is_left_to_the_others(tmp_path: Path) -> None:
    files = {XPS.format(0): "4\n", XPS.format(1): "a\n", XPS.format(2): "1\n", XPS.format(3): "0\n"}
    found = wishes("transmit-packet-steering", True, machine(tmp_path, files))
    assert found == [
        Want("mask", str(tmp_path / XPS.format(1)), "2"),
        Want("mask", str(tmp_path / XPS.format(2)), "1"),
    ]


def test_a_card_with_one_queue_has_no_mask_to_read(tmp_path: Path) -> None:
    scene = machine(tmp_path, {"sys/class/net/eth0/queues/tx-0/tx_timeout": "0\n"})
    (only,) = wishes("transmit-packet-steering", True, scene)
    assert isinstance(only, Cannot)


MOUNTED = {
    f"{RESCTRL}schemata": "    L3:0=7ff;1=7ff\n    MB:0=100;1=100\n",
    f"{RESCTRL}cpus_list": "0-3\n",
    f"{RESCTRL}info/MB/min_bandwidth": "10\n",
    f"{RESCTRL}info/MB/bandwidth_gran": "10\n",
}
GROUP = f"{RESCTRL}mlos-background/"


def test_the_others_get_a_group_and_a_share(tmp_path: Path) -> None:
    directory, share, cpus = wishes("resctrl-guard", 45, machine(tmp_path, MOUNTED))
    group = tmp_path / GROUP
    assert directory == Want("directory", str(group), "", rank=NORMAL - 1)
    assert share == Want("schemata", f"{group}/schemata MB", "MB:0=50;1=50")
    assert cpus == Want("resctrl-cpus", f"{group}/cpus_list", "0-1")


def test_a_share_is_no_less_than_the_hardware_has(tmp_path: Path) -> None:
    _, share, _ = wishes("resctrl-guard", 1, machine(tmp_path, MOUNTED))
    assert isinstance(share, Want)
    assert share.value == "MB:0=10;1=10"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no resctrl"),
        ({f"{RESCTRL}.": None}, "mount -t resctrl resctrl /sys/fs/resctrl"),
        (MOUNTED | {f"{RESCTRL}schemata": "L3:0=7ff\n"}, "cannot divide"),
        (MOUNTED | {f"{RESCTRL}schemata": "MB:0=2048\n"}, "not counted in per cent"),
        (MOUNTED | {f"{RESCTRL}cpus_list": "2-3\n"}, "other groups"),
        (MOUNTED | {f"{GROUP}tasks": "4711\n", f"{GROUP}cpus_list": "\n"}, "somebody else's"),
    ],
)
def test_where_there_can_be_no_group_it_is_said_why(tmp_path: Path, files: dict[str, str | None], reason: str) -> None:
    if None in files.values():
        (tmp_path / RESCTRL).mkdir(parents=True)
    (only,) = wishes("resctrl-guard", 50, machine(tmp_path, {name: text for name, text in files.items() if text}))
    assert isinstance(only, Cannot)
    assert reason in only.reason


def test_cpus_that_are_in_our_group_already_stay_wanted(tmp_path: Path) -> None:
    files = MOUNTED | {f"{RESCTRL}cpus_list": "2-3\n", f"{GROUP}cpus_list": "0-1\n", f"{GROUP}tasks": ""}
    *_, cpus = wishes("resctrl-guard", 50, machine(tmp_path, files))
    assert isinstance(cpus, Want)
    assert cpus.value == "0-1"


def test_a_group_that_is_not_there_yet_is_planned_and_removed_before_what_is_in_it(tmp_path: Path) -> None:
    every = kinds.every()
    scene, log = machine(tmp_path, MOUNTED), UndoLog(tmp_path / "undo.log", boot="this one")
    planned = plan({"resctrl-guard": 50}, scene, every, [])
    assert [(step.what, step.now) for step in planned.steps] == [("set", None)] * 3
    log.append([step.change() for step in planned.steps])
    assert [one.kind for one in order(log.pending())] == ["directory", "resctrl-cpus", "schemata"]


def test_an_interrupt_that_cannot_be_moved_is_listed_and_the_others_are_moved(tmp_path: Path) -> None:
    scene, log = machine(tmp_path, irqs(n8="0-3", n9="0-3")), UndoLog(tmp_path / "undo.log", boot="this one")
    planned = plan({"irq-affinity": True}, scene, kinds.every(), [])
    (tmp_path / IRQ.format(8, "smp_affinity_list")).unlink()
    outcome = reconcile(planned, log, kinds.every())
    assert [one.step.target for one in outcome.refused] == [str(tmp_path / IRQ.format(8, "smp_affinity_list"))]
    assert len(outcome.written) == 1
