"""Knobs of memory and disks: what is wanted, what means nothing here, what is missing or malformed."""

from pathlib import Path

import pytest
from tests.fakes.small_machine import machine, wishes

from mlosd.mode.knob import Cannot, Want
from mlosd.mode.plan import plan
from mlosd.mode.scene import Setting
from mlosd.undo import kinds

READ_AHEAD = "sys/block/{}/queue/read_ahead_kb"
LRU_GEN = "sys/kernel/mm/lru_gen/"
MISSING: dict[str, Setting] = {
    "transparent-hugepage": "always",
    "transparent-hugepage-defrag": "defer",
    "numa-balancing": 0,
    "zone-reclaim-mode": 0,
    "swappiness": 10,
    "lru-gen-min-ttl": 1000,
    "dirty-limits": "ratio 40",
    "dirty-background": "bytes 1048576",
    "read-ahead": 4096,
}


@pytest.mark.parametrize("name", MISSING)
def test_what_the_machine_does_not_have_is_said_once(tmp_path: Path, name: str) -> None:
    (only,) = wishes(name, MISSING[name], machine(tmp_path, {}))
    assert isinstance(only, Cannot)
    assert only.reason


def test_huge_pages_are_a_choice(tmp_path: Path) -> None:
    file = "sys/kernel/mm/transparent_hugepage/enabled"
    scene = machine(tmp_path, {file: "always [madvise] never\n"})
    assert wishes("transparent-hugepage", "always", scene) == [Want("choice", str(tmp_path / file), "always")]


@pytest.mark.parametrize(
    ("name", "file"),
    [("numa-balancing", "proc/sys/kernel/numa_balancing"), ("zone-reclaim-mode", "proc/sys/vm/zone_reclaim_mode")],
)
def test_nodes_mean_nothing_on_a_machine_with_one(tmp_path: Path, name: str, file: str) -> None:
    (two,) = wishes(name, 0, machine(tmp_path, {file: "1\n"}))
    (one,) = wishes(name, 0, machine(tmp_path, {file: "1\n"}, nodes=(0, 0, 0, 0)))
    assert two == Want("text", str(tmp_path / file), "0")
    assert one == Want("text", str(tmp_path / file), "0", void="this machine has one memory node")


@pytest.mark.parametrize(
    ("swaps", "void"),
    [
        ("Filename Type Size Used Priority\n/dev/zram0 partition 8388604 0 100\n", None),
        ("Filename Type Size Used Priority\n", "this machine has no swap"),
        ("", "this machine has no swap"),
        (None, "this machine has no swap"),
    ],
)
def test_swappiness_means_nothing_without_swap(tmp_path: Path, swaps: str | None, void: str | None) -> None:
    files = {"proc/sys/vm/swappiness": "60\n"} | ({} if swaps is None else {"proc/swaps": swaps})
    (only,) = wishes("swappiness", 10, machine(tmp_path, files))
    assert only == Want("text", str(tmp_path / "proc/sys/vm/swappiness"), "10", void=void)


@pytest.mark.parametrize(("enabled", "is_void"), [("0x0007\n", False), ("0x0001\n", False), ("0x0000\n", True)])
def test_a_time_to_live_means_nothing_while_the_multi_gen_lru_is_off(
    tmp_path: Path, enabled: str, is_void: bool
) -> None:
    scene = machine(tmp_path, {f"{LRU_GEN}min_ttl_ms": "0\n", f"{LRU_GEN}enabled": enabled})
    (only,) = wishes("lru-gen-min-ttl", 1000, scene)
    assert isinstance(only, Want)
    assert (only.void is not None) is is_void


def test_a_malformed_switch_of_the_multi_gen_lru_makes_the_knob_unavailable(tmp_path: Path) -> None:
    scene = machine(tmp_path, {f"{LRU_GEN}min_ttl_ms": "0\n", f"{LRU_GEN}enabled": "max\n"})
    (only,) = plan({"lru-gen-min-ttl": 1000}, scene, kinds.every(), []).steps
    assert (only.what, only.target) == ("unavailable", "lru-gen-min-ttl")


def test_a_limit_of_dirty_pages_is_bytes_or_a_ratio(tmp_path: Path) -> None:
    files = {f"proc/sys/vm/dirty_{name}": "0\n" for name in ("bytes", "background_bytes")}
    scene = machine(tmp_path, files)
    assert wishes("dirty-limits", "ratio 40", scene) == [Want("pair", f"{tmp_path}/proc/sys/vm/dirty", "ratio 40")]
    assert wishes("dirty-background", "bytes 1048576", scene) == [
        Want("pair", f"{tmp_path}/proc/sys/vm/dirty_background", "bytes 1048576")
    ]


def test_disks_read_farther_ahead_in_the_order_of_their_names(tmp_path: Path) -> None:
    files = {READ_AHEAD.format(disk): "128\n" for disk in ("nvme10n1", "nvme2n1", "sda", "dm-0")}
    found = wishes("read-ahead", 4096, machine(tmp_path, files))
    assert all(isinstance(wish, Want) and wish.value == "4096" for wish in found)
    assert [Path(wish.target).parts[-3] for wish in found] == ["sda", "dm-0", "nvme2n1", "nvme10n1"]


def test_a_disk_that_reads_farther_ahead_already_is_left_alone(tmp_path: Path) -> None:
    scene = machine(tmp_path, {READ_AHEAD.format("md0"): "8192\n"})
    (only,) = wishes("read-ahead", 4096, scene)
    assert isinstance(only, Cannot)
    assert "8192 KiB ahead already" in only.reason


def test_devices_in_memory_do_not_read_ahead(tmp_path: Path) -> None:
    files = {READ_AHEAD.format(disk): "128\n" for disk in ("loop0", "ram0", "zram0")}
    (only,) = wishes("read-ahead", 4096, machine(tmp_path, files))
    assert only == Cannot("/sys/block/*/queue/read_ahead_kb", "there are no disks here")


def test_one_malformed_disk_does_not_keep_the_others_from_reading_ahead(tmp_path: Path) -> None:
    files = {READ_AHEAD.format("sda"): "max\n", READ_AHEAD.format("sdb"): "128\n"}
    first, second = wishes("read-ahead", 4096, machine(tmp_path, files))
    assert isinstance(first, Cannot)
    assert isinstance(second, Want)
