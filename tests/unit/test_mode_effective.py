"""What is in force of a value that was written, on small trees."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.manager import Manager
from tests.fakes.tree import materialize

from mlosd.mode.effective import Effect, effective
from mlosd.mode.scene import Host
from mlosd.undo.change import Change
from mlosd.undo.systemd import Systemd

GROUP = "sys/fs/cgroup/system.slice"
SCX = {"sys/kernel/sched_ext/state": "enabled\n", "sys/kernel/sched_ext/root/ops": "lavd\n"}
BFQ = {"sys/block/sda/queue/scheduler": "[bfq] none\n"}


@pytest.fixture
def pid1(tmp_path: Path) -> Iterator[Systemd]:
    with Manager(tmp_path, {"system.slice": {}, "user.slice": {"ActiveState": "inactive"}}) as manager:
        pid1 = Systemd(manager.socket, manager.control)
        yield pid1
        pid1.close()


def _effect(root: Path, pid1: Systemd | None, kind: str, target: str, after: str | None) -> Effect | None:
    host = Host(sys=root / "sys", proc=root / "proc", pid1=pid1)
    return effective(Change("knob", kind, target, None, after), host)


@pytest.mark.parametrize(
    ("target", "after", "tree", "expected"),
    [
        ("AllowedCPUs", "0-1 runtime", {"cpuset.cpus.effective": "0-1\n"}, ("0-1", "ok")),
        # One of them is offline.
        ("AllowedCPUs", "0-1 runtime", {"cpuset.cpus.effective": "0\n"}, ("0", "ok")),
        ("AllowedCPUs", "0-1 runtime", {"cpuset.cpus.effective": "0-7\n"}, ("0-7", "differs")),
        ("AllowedCPUs", "0-1 runtime", {}, (None, "differs")),
        ("AllowedCPUs", "0-1 runtime", {"cpuset.cpus.effective": "all\n"}, ("all", "unknown")),
        ("CPUWeight", "20 runtime", {"cpu.weight": "20\n", "cpu.idle": "0\n"}, ("20", "ok")),
        ("CPUWeight", "20 runtime", {"cpu.weight": "20\n"}, ("20", "ok")),
        ("CPUWeight", "20 runtime", {"cpu.weight": "100\n", "cpu.idle": "0\n"}, ("100", "differs")),
        ("CPUWeight", "idle runtime", {"cpu.weight": "0\n", "cpu.idle": "1\n"}, ("idle", "ok")),
        ("CPUWeight", "20 runtime", {"cpu.weight": "0\n", "cpu.idle": "1\n"}, ("idle", "differs")),
        ("CPUWeight", "20 runtime", {}, (None, "differs")),
        ("CPUWeight", "20 runtime", {"cpu.weight": "20\n", **SCX}, ("20", "void")),
        ("IOWeight", "10 runtime", {"io.weight": "default 10\n", **BFQ}, ("10", "ok")),
        ("IOWeight", "10 runtime", {"io.weight": "default 100\n8:0 50\n", **BFQ}, ("100", "differs")),
        ("IOWeight", "10 runtime", BFQ, (None, "differs")),
        ("IOWeight", "10 runtime", {"io.weight": "default 10\n"}, ("10", "void")),
        ("MemoryLow", "8192 runtime", {"memory.low": "8192\n"}, ("8192", "ok")),
        ("MemoryLow", "8200 runtime", {"memory.low": "8192\n"}, ("8192", "ok")),
        ("MemoryLow", "8192 runtime", {"memory.low": "0\n"}, ("0", "differs")),
        ("MemoryLow", "8192 runtime", {}, (None, "differs")),
        ("MemoryHigh", "[not set] runtime", {"memory.high": "max\n"}, ("max", "ok")),
    ],
)
def test_the_kernel_has_the_last_word_on_a_slice(  # noqa: PLR0917 - pytest passes them by name
    tmp_path: Path, pid1: Systemd, target: str, after: str, tree: dict[str, str], expected: tuple[str | None, str]
) -> None:
    materialize(tmp_path, {name if "/" in name else f"{GROUP}/{name}": text for name, text in tree.items()})
    effect = _effect(tmp_path, pid1, "unit", f"system.slice {target}", after)
    assert effect is not None
    assert (effect.value, effect.says) == expected
    assert bool(effect.detail) == (effect.says != "ok")


def test_a_slice_that_nothing_runs_in_makes_any_value_void(tmp_path: Path, pid1: Systemd) -> None:
    effect = _effect(tmp_path, pid1, "unit", "user.slice CPUWeight", "20 runtime")
    assert effect == Effect(None, "void", "nothing runs in user.slice now")


def test_a_systemd_that_does_not_answer_makes_it_unknown(tmp_path: Path) -> None:
    effect = _effect(tmp_path, Systemd(tmp_path / "nobody"), "unit", "system.slice CPUWeight", "20 runtime")
    assert effect is not None
    assert effect.says == "unknown"


@pytest.mark.parametrize(
    ("now", "says"),
    [("0\n", "ok"), ("0-1\n", "ok"), ("2\n", "unknown"), ("\n", "ok"), ("x\n", "unknown"), (None, "unknown")],
)
def test_an_interrupt_goes_where_the_kernel_says(tmp_path: Path, now: str | None, says: str) -> None:
    tree = {"proc/irq/24/smp_affinity_list": "0-1\n"}
    materialize(tmp_path, tree if now is None else tree | {"proc/irq/24/effective_affinity_list": now})
    effect = _effect(tmp_path, None, "cpulist", f"{tmp_path}/proc/irq/24/smp_affinity_list", "0-1")
    assert effect is not None
    assert effect.says == says


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("text", "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"),
        ("cpulist", "/proc/irq/default_smp_affinity"),
        ("unit-state", "apt-daily.timer"),
        ("unit", "system.slice TasksMax"),
        ("unit", "system.slice CPUWeight"),  # and there is no systemd
    ],
)
def test_of_all_else_the_value_is_all_there_is(tmp_path: Path, kind: str, target: str) -> None:
    assert _effect(tmp_path, None, kind, target, "1") is None
