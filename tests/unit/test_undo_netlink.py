"""Netlink messages, byte for byte, and what the kernel's answers mean. Asks the kernel, and changes nothing in it."""

import errno
import struct

import pytest
from pyroute2.netlink.nfnetlink.nftsocket import nft_rule_msg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from mlosd.undo import netlink
from mlosd.undo.kinds import network
from mlosd.undo.kinds.network import NftTable, Qdisc
from mlosd.undo.netlink import Message, Netlink

GETLINK = 18
VALUE = "priority 4d4c:1 cgroup mlos.slice/mlos-prod.slice id 4711"
little = pytest.mark.skipif(struct.pack("=H", 1) != b"\1\0", reason="the bytes are those of a little endian machine")


@little
def test_an_attribute_is_padded_to_four_bytes() -> None:
    assert netlink.text(1, "prio") == bytes.fromhex("09000100 7072696f 00000000".replace(" ", ""))
    assert netlink.be32(2, -150) == bytes.fromhex("08000200ffffff6a")
    assert netlink.nest(4, netlink.be32(1, 3)) == bytes.fromhex("0c000480 08000100 00000003")


@little
def test_a_message_has_its_header() -> None:
    packed = netlink.pack(Message(36, b"\1\2\3", netlink.ACK), 7)
    assert packed == bytes.fromhex("13000000 2400 0500 07000000 00000000 010203 00")


def test_what_was_packed_is_unpacked() -> None:
    data = netlink.text(1, "eth0") + netlink.nest(2, netlink.be32(1, 3)) + netlink.attr(9, b"")
    assert netlink.each(data) == [(1, b"eth0\0"), (2, netlink.be32(1, 3)), (9, b"")]
    both = netlink.pack(Message(1, b"abc"), 5) + netlink.pack(Message(2, b""), 6)
    assert [(kind, number, body) for kind, _, number, body in netlink.unpack(both)] == [(1, 5, b"abc"), (2, 6, b"")]


@pytest.mark.parametrize("length", [0, 3, 5, 200])
def test_an_attribute_that_is_cut_or_too_short_ends_the_list(length: int) -> None:
    good = netlink.text(1, "x")
    assert netlink.each(good + struct.pack("=HH", length, 2)) == [(1, b"x\0")]
    assert netlink.unpack(struct.pack("=IHHII", length, 1, 0, 1, 0)[:15]) == []


def test_the_kernel_answers_with_what_was_asked_for() -> None:
    body = struct.pack("=BxHiII", 0, 0, 1, 0, 0)
    with Netlink(netlink.ROUTE) as kernel:
        (link,) = kernel.ask(GETLINK, body)
        assert netlink.attributes(link[16:])[3] == b"lo\0"
        assert len(kernel.ask(GETLINK, bytes(16), flags=netlink.DUMP)) >= 1


def test_what_the_kernel_refuses_is_an_error_with_its_number() -> None:
    with Netlink(netlink.ROUTE) as kernel, pytest.raises(OSError) as e:
        kernel.ask(GETLINK, struct.pack("=BxHiII", 0, 0, 0x7FFFFFF0, 0, 0))
    assert (e.value.errno, e.value.strerror) == (errno.ENODEV, "No such device")


def refusal(number: int, flags: int, *, echoed: bytes = b"", words: bytes = b"") -> OSError | None:
    """The error in a struct nlmsgerr as the kernel sends it."""
    header = struct.pack("=IHHII", 16 + len(echoed), 36, 5, 1, 0)
    return netlink.failure_of(2, flags, struct.pack("=i", -number) + header + echoed + words)


WORDS = netlink.text(1, "Specified qdisc kind is unknown")
CAPPED, TLVS = 0x100, 0x200


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (refusal(2, CAPPED | TLVS, words=WORDS), "Specified qdisc kind is unknown"),
        (refusal(2, TLVS, echoed=b"12345678", words=WORDS), "Specified qdisc kind is unknown"),
        (refusal(2, TLVS, echoed=b"12345678"), "No such file or directory"),
        (refusal(2, 0, echoed=b"12345678"), "No such file or directory"),
    ],
)
def test_what_the_kernel_says_in_words_is_told(error: OSError | None, text: str) -> None:
    assert isinstance(error, FileNotFoundError)
    assert error.strerror == text


def test_an_error_of_zero_is_an_acknowledgement() -> None:
    assert refusal(0, 0) is None
    assert netlink.failure_of(3, 0, b"") is None


def test_a_family_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError):
        Netlink(31)


def listed(value: str) -> bytes:
    """As the kernel lists the rule."""
    return struct.pack(">BBH", 1, 0, 0) + network.rule("mlos_mode", value)


def test_a_rule_says_the_value_that_it_was_made_of() -> None:
    assert network.rule_value(listed(VALUE)) == VALUE


@pytest.mark.parametrize(
    "value",
    ["", "priority 4d4c:1", "priority 4d4c:1 cgroup a b id 3", f"priority 1:1 cgroup {'x' * 201} id 1", "other rules"],
)
def test_a_value_that_is_no_rule_is_refused(value: str) -> None:
    with pytest.raises(OSError) as e:
        network.rule("mlos_mode", value)
    assert e.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    "body", [b"", bytes(4), bytes(4) + netlink.nest(4, netlink.nest(1, netlink.text(1, "counter")))]
)
def test_a_rule_of_somebody_else_has_no_value(body: bytes) -> None:
    assert network.rule_value(body) is None


def test_a_rule_with_another_comparison_has_no_value() -> None:
    equal = netlink.be32(1, 1) + netlink.be32(2, 0)
    assert network.rule_value(listed(VALUE).replace(equal, netlink.be32(1, 1) + netlink.be32(2, 1))) is None


def test_another_implementation_reads_the_same_rule() -> None:
    body = listed(VALUE)
    message = nft_rule_msg(struct.pack("=IHHII", 16 + len(body), 0xA06, 0, 0, 0) + body)
    message.decode()
    assert (message.get_attr("NFTA_RULE_TABLE"), message.get_attr("NFTA_RULE_CHAIN")) == ("mlos_mode", "output")
    names = [one.get_attr("NFTA_EXPR_NAME") for one in message.get_attr("NFTA_RULE_EXPRESSIONS")]
    assert names == ["socket", "cmp", "immediate", "meta"]
    meta = message.get_attr("NFTA_RULE_EXPRESSIONS")[3].get_attr("NFTA_EXPR_DATA")
    assert meta.get_attr("NFTA_META_KEY") == "NFT_META_PRIORITY"


def qdisc(kind: str, handle: int, parent: int, options: bytes = b"", *, index: int = 2) -> bytes:
    """As the kernel lists one."""
    head = struct.pack("=BxxxiIII", 0, index, handle, parent, 2)
    return head + netlink.text(1, kind) + (netlink.attr(2, options) if options else b"")


OURS = struct.pack("=i", 3) + bytes((1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1))
ROOT = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (qdisc("prio", 0x4D4C0000, ROOT, OURS), Qdisc.OURS),
        (qdisc("prio", 0x4D4C0000, ROOT, struct.pack("=i", 5) + OURS[4:]), "prio 4d4c: with other bands"),
        (qdisc("prio", 0x4D4C0000, ROOT), "prio 4d4c: with other bands"),
        (qdisc("prio", 0x80010000, ROOT, OURS), "prio 8001:"),
        (qdisc("htb", 0x10000, ROOT), "htb 1:"),
        (qdisc("fq_codel", 0, ROOT), None),
        (qdisc("mq", 0, ROOT), None),
        (qdisc("fq_codel", 0x20000, 0x4D4C0001), None),
        (qdisc("htb", 0x10000, ROOT, index=3), None),
        (b"", None),
    ],
)
def test_only_a_root_that_somebody_chose_has_a_value(body: bytes, value: str | None) -> None:
    assert network.root_value(body, 2) == value


def test_another_implementation_reads_the_same_qdisc() -> None:
    body = qdisc("prio", 0x4D4C0000, ROOT, OURS)
    message = tcmsg(struct.pack("=IHHII", 16 + len(body), 36, 0, 0, 0) + body)
    message.decode()
    assert (message["handle"], message["parent"], message.get_attr("TCA_KIND")) == (0x4D4C0000, ROOT, "prio")


@pytest.mark.parametrize("target", ["eth0", "eth0 ingress", "no-such-device root"])
def test_a_target_that_is_no_device_is_refused(target: str) -> None:
    with pytest.raises(OSError) as e:
        Qdisc().read(target)
    assert e.value.errno in (errno.EINVAL, errno.ENODEV)


@pytest.mark.parametrize("target", ["mlos_mode", "arp mlos_mode", "inet "])
def test_a_target_that_is_no_table_is_refused(target: str) -> None:
    with pytest.raises(OSError, match="family and name"):
        NftTable().read(target)


def test_a_qdisc_of_an_administrator_cannot_be_made_again() -> None:
    with pytest.raises(OSError, match="only 'prio 4d4c:' can be made"):
        Qdisc().write("lo root", "htb 1:")


def test_a_person_can_do_it_with_nft_and_tc() -> None:
    assert NftTable().command("inet mlos_mode", None) == "nft delete table inet mlos_mode"
    made = NftTable().command("inet mlos_mode", VALUE)
    assert 'socket cgroupv2 level 2 "mlos.slice/mlos-prod.slice" meta priority set 4d4c:1' in made
    assert Qdisc().command("eth0 root", None) == "tc qdisc del dev eth0 root"
    assert Qdisc().command("eth0 root", Qdisc.OURS) == "tc qdisc add dev eth0 root handle 4d4c: prio"
