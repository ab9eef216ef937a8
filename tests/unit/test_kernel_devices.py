"""Readers of sysfs devices and interrupts: well-formed, missing, malformed."""

from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.kernel import cpufreq, input_devices, irq, mountinfo, resctrl

POLICY = "devices/system/cpu/cpufreq/policy{}/{}"


def test_cpufreq_policies_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = {POLICY.format(number, "scaling_governor"): "powersave\n" for number in (10, 2)}
    files[POLICY.format(2, "scaling_available_governors")] = "performance powersave\n"
    files[POLICY.format(2, "energy_performance_preference")] = "balance_performance\n"
    files[POLICY.format(2, "energy_performance_available_preferences")] = "default performance\n"
    two, ten = cpufreq.policies(materialize(tmp_path, files))
    assert (two.governor, two.governors) == ("powersave", ("performance", "powersave"))
    assert (two.epp, two.epps) == ("balance_performance", ("default", "performance"))
    assert (ten.governors, ten.epp) == ((), None)


def test_a_machine_without_cpufreq_has_no_policies(tmp_path: Path) -> None:
    assert cpufreq.policies(tmp_path) == ()


def test_a_malformed_governor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scaling_governor"):
        cpufreq.policies(materialize(tmp_path, {POLICY.format(0, "scaling_governor"): "\n"}))


def test_interrupts_are_read_with_what_handles_them(tmp_path: Path) -> None:
    files = {
        "irq/9/smp_affinity_list": "0-3\n",
        "irq/9/effective_affinity_list": "2\n",
        "irq/9/nvme0q1/placeholder": "",
        "irq/10/smp_affinity_list": "1\n",
        "irq/11/spurious": "an interrupt that is just going away",
        "irq/default_smp_affinity": "f\n",
    }
    nine, ten = irq.read(materialize(tmp_path, files))
    assert (nine.number, nine.allowed, nine.effective, nine.actions) == (9, (0, 1, 2, 3), (2,), ("nvme0q1",))
    assert (ten.number, ten.effective, ten.affinity_file) == (10, None, "irq/10/smp_affinity_list")


def test_a_malformed_affinity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CPU list"):
        irq.read(materialize(tmp_path, {"irq/9/smp_affinity_list": "everywhere\n"}))


CPUINFO = "processor\t: 0\nflags\t\t: fpu cat_l3 mba\n"
MOUNTED = "60 23 0:50 / {} rw - resctrl resctrl rw\n"


def test_what_the_cpu_can_divide_comes_from_its_flags(tmp_path: Path) -> None:
    proc = materialize(tmp_path, {"filesystems": "nodev\tresctrl\n\text4\n", "cpuinfo": CPUINFO})
    assert resctrl.read((), proc) == resctrl.Support(kernel=True, schemas=("L3", "MB"), mounted=None)


def test_a_mounted_resctrl_says_itself_what_it_can_divide(tmp_path: Path) -> None:
    proc = materialize(tmp_path / "proc", {"filesystems": "nodev\tresctrl\n", "cpuinfo": ""})
    mounted = materialize(
        tmp_path / "resctrl", {"info/L3/num_closids": "16", "info/L3_MON/x": "", "info/last_cmd_status": "ok\n"}
    )
    found = resctrl.read(mountinfo.parse(MOUNTED.format(mounted)), proc)
    assert found == resctrl.Support(kernel=True, schemas=("L3",), mounted=mounted)


def test_an_older_cpu_divides_nothing(tmp_path: Path) -> None:
    proc = materialize(tmp_path, {"filesystems": "\text4\n", "cpuinfo": "model name: old\n"})
    assert resctrl.read((), proc) == resctrl.Support(kernel=False, schemas=(), mounted=None)


def test_input_devices_tell_whether_they_are_inhibited(tmp_path: Path) -> None:
    files = {
        "class/input/input10/name": "A Mouse\n",
        "class/input/input10/inhibited": "1\n",
        "class/input/input3/name": "Power Button\n",
        "class/input/mouse0/name": "not a device of this kind\n",
    }
    button, mouse = input_devices.read(materialize(tmp_path, files))
    assert (button.name, button.inhibited) == ("Power Button", None)
    assert (mouse.name, mouse.inhibited) == ("A Mouse", True)


def test_a_malformed_switch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inhibited"):
        input_devices.read(materialize(tmp_path, {"class/input/input1/inhibited": "max\n"}))
