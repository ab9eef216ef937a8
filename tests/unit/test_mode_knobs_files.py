"""Knobs of speed: governor, energy preference, platform profile. And of all knobs of files: there and back again."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.fakes.small_machine import machine, wishes

from mlosd.core.errors import BadRequest
from mlosd.mode import knobs
from mlosd.mode.knob import Cannot, Knob, Want, check
from mlosd.mode.plan import plan
from mlosd.mode.reconcile import reconcile
from mlosd.mode.scene import Setting
from mlosd.undo import kinds
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import undo

POLICY = "sys/devices/system/cpu/cpufreq/policy{}/{}"
PROFILE = "sys/firmware/acpi/platform_profile"


def policy(number: int, **files: str) -> dict[str, str]:
    return {POLICY.format(number, name): f"{text}\n" for name, text in files.items()}


def test_each_policy_gets_the_governor_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = policy(10, scaling_governor="schedutil") | policy(2, scaling_governor="powersave")
    found = wishes("scaling-governor", "performance", machine(tmp_path, files))
    assert found == [
        Want("text", str(tmp_path / POLICY.format(number, "scaling_governor")), "performance") for number in (2, 10)
    ]


def test_a_governor_that_a_policy_does_not_know_is_named_with_those_it_knows(tmp_path: Path) -> None:
    files = policy(0, scaling_governor="powersave", scaling_available_governors="powersave userspace ")
    files |= policy(1, scaling_governor="powersave", scaling_available_governors="performance powersave")
    first, second = wishes("scaling-governor", "performance", machine(tmp_path, files))
    assert isinstance(first, Cannot)
    assert first.reason == "there is no 'performance' here, only powersave, userspace"
    assert isinstance(second, Want)


@pytest.mark.parametrize("name", ["scaling-governor", "energy-performance"])
def test_a_machine_without_cpufreq_says_so_once(tmp_path: Path, name: str) -> None:
    (only,) = wishes(name, "performance", machine(tmp_path, {}))
    assert isinstance(only, Cannot)
    assert "speed of the CPUs" in only.reason


def test_a_policy_without_an_energy_preference_is_left_out(tmp_path: Path) -> None:
    files = policy(0, scaling_governor="powersave") | policy(
        1,
        scaling_governor="powersave",
        energy_performance_preference="balance_performance",
        energy_performance_available_preferences="default performance balance_performance",
    )
    first, second = wishes("energy-performance", "performance", machine(tmp_path, files))
    assert first == Cannot(
        str(tmp_path / POLICY.format(0, "energy_performance_preference")), "its driver has no energy preference"
    )
    assert isinstance(second, Want)


def test_an_energy_preference_that_is_not_known_is_named(tmp_path: Path) -> None:
    files = policy(
        0,
        scaling_governor="powersave",
        energy_performance_preference="power",
        energy_performance_available_preferences="performance power",
    )
    (only,) = wishes("energy-performance", "fast", machine(tmp_path, files))
    assert isinstance(only, Cannot)
    assert only.reason.endswith("only performance, power")


def test_what_amd_lists_under_the_performance_governor_is_not_all_there_is(tmp_path: Path) -> None:
    files = policy(
        0,
        scaling_governor="performance",
        energy_performance_preference="performance",
        energy_performance_available_preferences="performance",
    )
    (only,) = wishes("energy-performance", "balance_power", machine(tmp_path, files))
    assert isinstance(only, Want)


def test_the_governor_is_set_before_the_energy_preference_and_put_back_before_it() -> None:
    profile, governor, energy = map(knobs.find, ("platform-profile", "scaling-governor", "energy-performance"))
    assert isinstance(profile, Knob)
    assert isinstance(governor, Knob)
    assert isinstance(energy, Knob)
    assert profile.stage < governor.stage < energy.stage
    assert profile.rank < governor.rank < energy.rank


def test_the_platform_profile_is_one_of_its_choices(tmp_path: Path) -> None:
    scene = machine(tmp_path, {PROFILE: "balanced\n", f"{PROFILE}_choices": "low-power balanced performance\n"})
    assert wishes("platform-profile", "performance", scene) == [Want("text", str(tmp_path / PROFILE), "performance")]
    (only,) = wishes("platform-profile", "cool", scene)
    assert isinstance(only, Cannot)


@pytest.mark.parametrize(
    ("files", "reason"),
    [({}, "no platform profile"), ({PROFILE: "\n"}, "no platform profile"), ({PROFILE: "custom\n"}, "put back")],
)
def test_a_platform_profile_that_cannot_be_put_back_is_not_touched(
    tmp_path: Path, files: Mapping[str, str], reason: str
) -> None:
    (only,) = wishes("platform-profile", "performance", machine(tmp_path, files))
    assert isinstance(only, Cannot)
    assert reason in only.reason


WHOLE = {
    **policy(0, scaling_governor="powersave", energy_performance_preference="balance_power"),
    **policy(2, scaling_governor="schedutil", energy_performance_preference="default"),
    PROFILE: "balanced\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never\n",
    "sys/kernel/mm/lru_gen/enabled": "0x0007\n",
    "sys/kernel/mm/lru_gen/min_ttl_ms": "0\n",
    "sys/block/sda/queue/read_ahead_kb": "128\n",
    "sys/devices/virtual/workqueue/cpumask": "f\n",
    "sys/devices/virtual/workqueue/writeback/cpumask": "ff\n",
    "sys/class/net/eth0/queues/rx-0/rps_cpus": "00000000,0000000c\n",
    "sys/class/net/eth0/queues/tx-0/xps_cpus": "6\n",
    "proc/irq/9/smp_affinity_list": "0-3\n",
    "proc/irq/9/nvme0q1/x": "",
    "proc/irq/default_smp_affinity": "f\n",
    "proc/swaps": "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n",
    "proc/sys/kernel/numa_balancing": "1\n",
    "proc/sys/vm/swappiness": "60\n",
    "proc/sys/vm/zone_reclaim_mode": "0\n",
    **{f"proc/sys/vm/dirty_{name}": f"{value}\n" for name, value in {"bytes": 0, "ratio": 20}.items()},
    **{f"proc/sys/vm/dirty_background_{name}": f"{value}\n" for name, value in {"bytes": 4096, "ratio": 0}.items()},
}
SETTINGS: dict[str, Setting] = {
    **dict.fromkeys(("scaling-governor", "energy-performance", "platform-profile"), "performance"),
    **dict.fromkeys(("irq-affinity", "default-irq-affinity", "workqueue-cpumask", "writeback-cpumask"), True),
    "receive-packet-steering": "active",
    "transmit-packet-steering": True,
    "transparent-hugepage": "always",
    "transparent-hugepage-defrag": "defer+madvise",
    "lru-gen-min-ttl": 1000,
    "read-ahead": 4096,
    "numa-balancing": 0,
    "swappiness": 10,
    "zone-reclaim-mode": 1,
    "dirty-limits": "ratio 40",
    "dirty-background": "bytes 268435456",
}


def test_all_of_them_are_set_stay_set_and_are_put_back(tmp_path: Path) -> None:
    scene, every = machine(tmp_path, WHOLE), kinds.every()
    log = UndoLog(tmp_path / "undo.log", boot="this one")
    first = plan(SETTINGS, scene, every, [])
    assert {step.what for step in first.steps} == {"set"}
    assert {step.knob for step in first.steps} == SETTINGS.keys()
    before = {step.key: step.now for step in first.steps}
    assert not reconcile(first, log, every).refused
    again = plan(SETTINGS, scene, every, log.pending())
    assert {step.what for step in again.steps} == {"ours"}
    assert again.give_back == ()
    report = undo(log, every)
    assert (len(report.restored), report.kept, report.failed) == (len(before), [], [])
    assert {key: every[key[0]].read(key[1]) for key in before} == before


def test_every_setting_of_the_test_is_one_that_its_knob_accepts() -> None:
    for name, setting in SETTINGS.items():
        check(knobs.find(name), setting)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("scaling-governor", 1),
        ("energy-performance", ""),
        ("irq-affinity", "yes"),
        ("receive-packet-steering", True),
        ("transparent-hugepage", "[always]"),
        ("numa-balancing", 3),
        ("numa-balancing", True),
        ("read-ahead", 100),
        ("read-ahead", -64),
        ("read-ahead", True),
        ("swappiness", 201),
        ("dirty-limits", "ratio 0"),
        ("dirty-limits", "ratio 101"),
        ("dirty-limits", "bytes 0"),
        ("dirty-limits", "40"),
        ("dirty-background", 10),
        ("resctrl-guard", 100),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_what_would(name: str, setting: Setting) -> None:
    with pytest.raises(BadRequest, match=f"^knob {name}: .* is not "):
        check(knobs.find(name), setting)
