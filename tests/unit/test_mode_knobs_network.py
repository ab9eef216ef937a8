"""Which devices get a priority, on small trees; the kernel's side is in tests/kernel/test_mode_network.py."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.kernel import topology
from mlosd.mode.knob import Cannot, Want, Wish
from mlosd.mode.knobs import network_priority
from mlosd.mode.scene import Host, Scene, Setting

CPUS = {"devices/system/cpu/online": "0-3\n"}
SLICE = {"fs/cgroup/mlos.slice/cgroup.procs": ""}


def device(name: str, more: Mapping[str, str] | None = None, *, up: bool = True, queues: int = 1) -> dict[str, str]:
    folder = f"class/net/{name}"
    files = {"type": "1\n", "operstate": "up\n" if up else "down\n", "device/vendor": "0x1af4\n"}
    files |= more or {}
    files |= {f"queues/tx-{n}/xps_cpus": "0\n" for n in range(queues)}
    return {f"{folder}/{file}": text for file, text in files.items()}


def wishes(
    tmp_path: Path,
    files: Mapping[str, str],
    setting: Setting = True,
    *,
    roots: Mapping[str, str] | None = None,
    table: str | None = None,
) -> list[Wish]:
    sys = materialize(tmp_path / "sys", CPUS | dict(files))
    scene = Scene(Host(sys=sys, proc=tmp_path / "proc"), topology.read(sys))
    found = network_priority.wishes(setting, scene, root=(roots or {}).get, table=lambda _: table)
    return list(found)


def rule(tmp_path: Path) -> Want:
    id_ = (tmp_path / "sys/fs/cgroup/mlos.slice").stat().st_ino
    return Want("nft-table", "inet mlos_mode", f"priority 4d4c:1 cgroup mlos.slice id {id_}")


def test_a_wired_device_that_is_up_gets_bands_and_the_slice_a_rule(tmp_path: Path) -> None:
    found = wishes(tmp_path, SLICE | device("eth0"))
    assert found == [Want("qdisc", "eth0 root", "prio 4d4c:"), rule(tmp_path)]


def test_what_is_ours_already_is_wanted_still(tmp_path: Path) -> None:
    found = wishes(tmp_path, SLICE | device("eth0"), roots={"eth0 root": "prio 4d4c:"}, table="priority 4d4c:1 ...")
    assert found == [Want("qdisc", "eth0 root", "prio 4d4c:"), rule(tmp_path)]


@pytest.mark.parametrize(
    "files",
    [
        {},
        device("eth0", up=False),
        device("ib0", {"type": "32\n"}),
        device("odd0", {"operstate": "\xe9\n"}),
        device("wlan0", {"phy80211/index": "0\n"}),
        {"class/net/docker0/operstate": "up\n", "class/net/docker0/type": "1\n"},
    ],
)
def test_other_devices_are_left_alone(tmp_path: Path, files: dict[str, str]) -> None:
    assert wishes(tmp_path, SLICE | files) == [Cannot("inet mlos_mode", "no wired network device is up")]


def test_a_root_qdisc_that_an_administrator_chose_stays(tmp_path: Path) -> None:
    found = wishes(tmp_path, SLICE | device("eth0") | device("eth1"), roots={"eth0 root": "htb 1:"})
    assert found[:2] == [
        Cannot("eth0 root", "the root qdisc htb is the administrator's"),
        Want("qdisc", "eth1 root", "prio 4d4c:"),
    ]


def test_without_any_device_there_is_no_rule(tmp_path: Path) -> None:
    found = wishes(tmp_path, SLICE | device("eth0"), roots={"eth0 root": "htb 1:"})
    assert found == [Cannot("eth0 root", "the root qdisc htb is the administrator's")]


def test_a_device_with_many_queues_is_left_alone_unless_it_is_named(tmp_path: Path) -> None:
    files = SLICE | device("eth0", queues=8)
    (cannot,) = wishes(tmp_path, files)
    assert cannot == Cannot("eth0 root", "it sends by 8 queues at once; name it in devices to have one for all")
    assert wishes(tmp_path, files, {"devices": ["eth0"]})[0] == Want("qdisc", "eth0 root", "prio 4d4c:")


def test_a_named_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    found = wishes(tmp_path, SLICE | device("eth0"), {"devices": ["eth9", "eth0"]})
    assert found[0] == Cannot("eth9 root", "there is no such network device")
    assert found[2] == rule(tmp_path)


def test_a_device_that_cannot_be_asked_does_not_hide_the_others(tmp_path: Path) -> None:
    def root(target: str) -> str | None:
        if target == "eth0 root":
            raise OSError(19, "there is no network device eth0")
        return None

    sys = materialize(tmp_path / "sys", CPUS | SLICE | device("eth0") | device("eth1"))
    scene = Scene(Host(sys=sys), topology.read(sys))
    found = list(network_priority.wishes(True, scene, root=root, table=lambda _: None))
    assert found[0] == Cannot("eth0 root", "there is no network device eth0")
    assert found[1] == Want("qdisc", "eth1 root", "prio 4d4c:")


def test_a_table_of_somebody_else_with_our_name_stays(tmp_path: Path) -> None:
    found = wishes(tmp_path, SLICE | device("eth0"), table="other rules")
    assert found == [Cannot("inet mlos_mode", "somebody else has a table of this name")]


def test_before_anything_ran_in_the_slice_there_is_nothing_to_match(tmp_path: Path) -> None:
    found = wishes(tmp_path, device("eth0"))
    assert found == [Cannot("/mlos.slice", "no cgroup yet: nothing has run in it")]


@pytest.mark.parametrize("setting", [True, {"devices": ["eth0"]}, {"devices": ["enp1s0f0", "bond0.7"]}])
def test_devices_can_be_named(setting: Setting) -> None:
    network_priority.KNOB.accepts(setting)


@pytest.mark.parametrize(
    "setting",
    [
        False,
        1,
        "eth0",
        {},
        {"devices": []},
        {"devices": "eth0"},
        {"devices": [3]},
        {"devices": ["../eth0"]},
        {"devices": [".."]},
        {"devices": ["a name"]},
        {"devices": ["sixteen-letters-"]},
        {"devices": ["eth0"], "mark": 3},
    ],
)
def test_anything_else_is_refused(setting: Setting) -> None:
    with pytest.raises(ValueError, match="devices"):
        network_priority.KNOB.accepts(setting)
