"""Network priority on the live kernel, in a network namespace that the test makes: the machine's own is not touched."""

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pyroute2 import IPRoute
from pyroute2.nftables.main import NFTables

from mlosd.doctor import cgroup_place
from mlosd.doctor.host import Host
from mlosd.kernel import cgroupfs
from mlosd.kernel.cgroupfs import Cgroup
from mlosd.undo.change import Change
from mlosd.undo.kinds.network import MAJOR, OTHER, NftTable, Qdisc
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import undo

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a network namespace"),
]

CLONE_NEWNET = 0x40000000
TABLE, ROOT = "inet mlos_mode", "one root"
RULE = "priority 4d4c:1 cgroup mlos.slice id 4711"
SENDER = """
import socket, sys
sys.stdin.readline()
to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(200):
    to.sendto(b"x" * 100, ("192.0.2.2", 9))
print("sent", flush=True)
"""
T = TypeVar("T")


class Network:
    """A thread in a network namespace of its own (unshare(2) is about one thread), which ends with it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.run(self._make)

    def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Do it in there."""
        return self._thread.submit(work, *arguments).result(timeout=30)

    def close(self) -> None:
        self._thread.shutdown()

    def _make(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            pytest.skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        with IPRoute() as ip:
            try:
                ip.link("add", ifname="one", kind="veth", peer={"ifname": "two"})
            except Exception as e:
                pytest.skip(f"no veth in this kernel: {e}")
            for name in ("one", "two"):
                ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")
            index = ip.link_lookup(ifname="one")[0]
            ip.addr("add", index=index, address="192.0.2.1", prefixlen=24)
            ip.neigh("add", dst="192.0.2.2", lladdr="02:00:00:00:00:02", ifindex=index, state="permanent")


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture
def table(network: Network) -> NftTable:
    kind = NftTable()
    able_to(network, lambda: kind.write(TABLE, RULE), lambda: kind.write(TABLE, None))
    return kind


@pytest.fixture
def prio(network: Network) -> Qdisc:
    kind = Qdisc()
    able_to(network, lambda: kind.write(ROOT, Qdisc.OURS), lambda: kind.write(ROOT, None))
    return kind


def able_to(network: Network, *steps: Callable[[], None]) -> None:
    for step in steps:
        try:
            network.run(step)
        except OSError as e:
            if e.errno not in (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
                raise
            pytest.skip(str(e.strerror))


def add_root(kind: str) -> None:
    """As an administrator does."""
    with IPRoute() as ip:
        options = {"rate": "10mbit", "burst": 10000, "latency": "50ms"} if kind == "tbf" else {}
        ip.tc("replace", kind, ip.link_lookup(ifname="one")[0], 0x10000, parent=0xFFFFFFFF, **options)


def roots() -> list[tuple[str, int]]:
    """The kind and handle of the root qdisc, as pyroute2 sees it."""
    with IPRoute() as ip:
        found = ip.get_qdiscs(index=ip.link_lookup(ifname="one")[0])
        return [(one.get_attr("TCA_KIND"), one["handle"]) for one in found if one["parent"] == 0xFFFFFFFF]


def tables() -> list[str]:
    with NFTables(nfgen_family=1) as nft:
        return [one.get_attr("NFTA_TABLE_NAME") for one in nft.get_tables()]


def test_a_table_is_made_read_back_and_removed(network: Network, table: NftTable) -> None:
    assert network.run(table.read, TABLE) is None
    network.run(table.write, TABLE, RULE)
    assert network.run(table.read, TABLE) == RULE
    assert network.run(tables) == ["mlos_mode"]
    network.run(table.write, TABLE, None)
    assert network.run(tables) == []


def test_a_rule_is_replaced_when_the_cgroup_was_made_anew(network: Network, table: NftTable) -> None:
    anew = "priority 4d4c:1 cgroup mlos.slice/mlos-prod.slice id 18446744073709551615"
    network.run(table.write, TABLE, RULE)
    network.run(table.write, TABLE, anew)
    assert network.run(table.read, TABLE) == anew


def test_removing_a_table_that_is_not_there_is_no_error(network: Network, table: NftTable) -> None:
    network.run(table.write, TABLE, None)
    assert network.run(table.read, TABLE) is None


def test_a_table_of_somebody_else_is_told_from_ours(network: Network, table: NftTable) -> None:
    def make() -> None:
        with NFTables(nfgen_family=1) as nft:
            nft.table("add", name="mlos_mode")

    network.run(make)
    assert network.run(table.read, TABLE) == OTHER


def test_what_the_kernel_refuses_leaves_no_half_table(network: Network, table: NftTable) -> None:
    with pytest.raises(OSError):
        network.run(table.write, f"inet {'x' * 300}", RULE)
    assert network.run(tables) == []


def test_a_root_that_the_kernel_chose_is_nobodys(network: Network) -> None:
    assert network.run(Qdisc().read, ROOT) is None


@pytest.mark.parametrize("kind", ["htb", "tbf"])
def test_a_root_that_an_administrator_chose_is_neither_replaced_nor_removed(network: Network, kind: str) -> None:
    try:
        network.run(add_root, kind)
    except Exception as e:
        pytest.skip(f"no {kind} in this kernel: {e}")
    assert network.run(Qdisc().read, ROOT) == f"{kind} 1:"
    for value in (Qdisc.OURS, None):
        with pytest.raises(OSError):
            network.run(Qdisc().write, ROOT, value)
    assert network.run(roots) == [(kind, 0x10000)]


def test_our_root_is_made_and_the_kernels_own_comes_back(network: Network, prio: Qdisc) -> None:
    before = network.run(roots)
    network.run(prio.write, ROOT, Qdisc.OURS)
    network.run(prio.write, ROOT, Qdisc.OURS)
    assert network.run(prio.read, ROOT) == Qdisc.OURS
    assert network.run(roots) == [("prio", MAJOR << 16)]
    network.run(prio.write, ROOT, None)
    assert network.run(roots) == before
    assert network.run(prio.read, ROOT) is None


def test_undo_removes_what_is_ours(network: Network, table: NftTable, prio: Qdisc, tmp_path: Path) -> None:
    before = network.run(roots)
    log = UndoLog(tmp_path / "undo.log", boot="b")
    log.append(
        [
            Change("network-priority", "qdisc", ROOT, None, Qdisc.OURS),
            Change("network-priority", "nft-table", TABLE, None, RULE),
        ]
    )
    network.run(prio.write, ROOT, Qdisc.OURS)
    network.run(table.write, TABLE, RULE)
    report = network.run(undo, log, {"qdisc": prio, "nft-table": table})
    assert sorted(one.target for one in report.restored) == [TABLE, ROOT]
    assert (network.run(roots), network.run(tables)) == (before, [])


def test_undo_leaves_a_root_that_an_administrator_chose_meanwhile(
    network: Network, prio: Qdisc, tmp_path: Path
) -> None:
    log = UndoLog(tmp_path / "undo.log", boot="b")
    log.append([Change("network-priority", "qdisc", ROOT, None, Qdisc.OURS)])
    network.run(prio.write, ROOT, Qdisc.OURS)
    network.run(add_root, "tbf")
    (kept,) = network.run(undo, log, {"qdisc": prio}).kept
    assert kept.now == "tbf 1:"
    assert network.run(roots) == [("tbf", 0x10000)]


@pytest.fixture
def cgroup(tmp_path: Path) -> Iterator[Cgroup]:
    place = cgroup_place.find(Host(state=tmp_path, scratch=tmp_path))
    if place is None:
        pytest.skip("no cgroup that is ours to write to")
    path = place / f"mlosd-test-{os.getpid()}"
    with Cgroup.make(path) as made:
        yield made
    cgroupfs.remove(path)


def send(network: Network, cgroup: Cgroup | None) -> None:
    """200 packets out of device `one`, from a process in that cgroup."""
    command = [sys.executable, "-c", SENDER]
    with network.run(
        lambda: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ) as sender:
        if cgroup is not None:
            cgroup.add(sender.pid)
        assert sender.communicate("go\n", timeout=30)[0] == "sent\n"


def htb_with_two_classes() -> None:
    """Takes a packet by its priority just as prio does, and more kernels have it."""
    with IPRoute() as ip:
        index = ip.link_lookup(ifname="one")[0]
        ip.tc("add", "htb", index, MAJOR << 16, default=2)
        for minor in (1, 2):
            ip.tc("add-class", "htb", index, f"{MAJOR:x}:{minor}", parent=f"{MAJOR:x}:0", rate="1gbit")


def first_of_htb() -> int:
    with IPRoute() as ip:
        classes = ip.get_classes(index=ip.link_lookup(ifname="one")[0])
        return sum(packets(one) for one in classes if one["handle"] == MAJOR << 16 | 1)


def first_of_prio() -> int:
    with IPRoute() as ip:
        found = ip.get_qdiscs(index=ip.link_lookup(ifname="one")[0])
        return sum(packets(one) for one in found if one["parent"] == MAJOR << 16 | 1)


def packets(message: Any) -> int:
    return int(message.get_attr("TCA_STATS2").get_attr("TCA_STATS_BASIC")["packets"])


@pytest.mark.parametrize("qdisc", ["prio", "htb"])
def test_packets_of_the_cgroup_and_no_others_take_the_first_band(
    network: Network, table: NftTable, cgroup: Cgroup, qdisc: str
) -> None:
    if qdisc == "prio":
        able_to(network, lambda: Qdisc().write(ROOT, Qdisc.OURS))
    else:
        try:
            network.run(htb_with_two_classes)
        except Exception as e:
            pytest.skip(f"no htb in this kernel: {e}")
    first = first_of_prio if qdisc == "prio" else first_of_htb
    path = cgroup.path().relative_to(mount_of(cgroup.path()))
    network.run(table.write, TABLE, f"priority 4d4c:1 cgroup {path} id {cgroup.id}")
    before = network.run(first)
    send(network, None)
    # The kernel's own packets, as those of neighbour discovery, are control packets and go first as well.
    assert network.run(first) - before < 100
    before = network.run(first)
    send(network, cgroup)
    assert network.run(first) - before >= 200


def mount_of(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.is_mount())
