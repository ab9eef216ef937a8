"""Targets of the network: our table of nftables, and the root qdisc of a device. Of the network namespace we run in."""

import errno
import re
import shlex
import socket
import struct
from contextlib import suppress

from mlosd.undo.kind import Plain
from mlosd.undo.netlink import (
    ACK,
    CREATE,
    DUMP,
    EXCL,
    NETFILTER,
    ROUTE,
    Message,
    Netlink,
    attr,
    attributes,
    be32,
    each,
    nest,
    text,
)

# "ML": what is ours carries it as its number, so that it is told from an administrator's.
MAJOR = 0x4D4C
FIRST_BAND = f"{MAJOR:x}:1"
OTHER = "other rules"

# linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
_BATCH_BEGIN, _BATCH_END, _SUBSYSTEM = 0x10, 0x11, 10
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _GETRULE = (_SUBSYSTEM << 8 | n for n in (0, 1, 2, 3, 6, 7))
_FAMILIES = {"inet": 1, "ip": 2, "ip6": 10}
_LOCAL_OUT, _PRIORITY_MANGLE = 3, -150
_KEY_CGROUPV2, _KEY_PRIORITY, _REGISTER_1, _EQUAL = 3, 2, 1, 0
_CHAIN = "output"
_RULE = re.compile(r"priority ([0-9a-f]+):([0-9a-f]+) cgroup (\S+) id (\d+)")

# linux/rtnetlink.h, linux/pkt_sched.h
_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_KIND, _OPTIONS = 1, 2
_ROOT = 0xFFFFFFFF
_HANDLE = MAJOR << 16
_BANDS = 3
# Which band a packet goes to by its priority (tc-prio(8)): the kernel's own table. Control and interactive packets
# share the first band, so that one can still log in.
_PRIOMAP = bytes((1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1))


class NftTable(Plain):
    """A table of ours with one rule. `target` is its family and name: "inet mlos_mode". None: there is no such table.

    "priority 4d4c:1 cgroup mlos.slice id 4711": packets that sockets of this cgroup send get this priority, which is
    the class of a qdisc. The kernel compares cgroup ids (their inode numbers), and knows no path: a cgroup that is
    made anew has another id and needs the rule anew. The path is told by the rule's comment, for people.

    Not a table that ends with its owner (NFT_TABLE_F_OWNER): the mode outlives a restart of the daemon.
    """

    def read(self, target: str) -> str | None:
        family, name = _table(target)
        try:
            with Netlink(NETFILTER) as netlink:
                netlink.ask(_GETTABLE, _nf(family) + text(1, name))
                rules = netlink.ask(_GETRULE, _nf(family) + text(1, name), flags=DUMP)
        except FileNotFoundError:
            return None
        return (rule_value(rules[0]) if len(rules) == 1 else None) or OTHER

    def write(self, target: str, value: str | None) -> None:
        """One transaction: all of it or nothing."""
        family, name = _table(target)
        table = _nf(family) + text(1, name)
        # Made, so that removing it cannot fail, removed and made anew: as nft(8) does.
        work = [Message(_NEWTABLE, table, CREATE), Message(_DELTABLE, table)]
        if value is not None:
            work.append(Message(_NEWTABLE, table, CREATE))
            work.append(Message(_NEWCHAIN, table[:4] + _chain(name), CREATE))
            work.append(Message(_NEWRULE, table[:4] + rule(name, value), CREATE | 0x800))  # NLM_F_APPEND
        work[-1] = Message(work[-1].kind, work[-1].body, work[-1].flags | ACK)
        edge = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
        try:
            with Netlink(NETFILTER) as netlink:
                netlink.send([Message(_BATCH_BEGIN, edge), *work, Message(_BATCH_END, edge)])
        except FileNotFoundError as e:
            raise OSError(errno.EOPNOTSUPP, "this kernel cannot match sockets by cgroup (CONFIG_NFT_SOCKET)") from e

    def command(self, target: str, value: str | None) -> str:
        if value is None:
            return f"nft delete table {target}"
        major, minor, path, _ = _wanted(value)
        rule = f'socket cgroupv2 level {_level(path)} "{path}" meta priority set {major:x}:{minor:x}'
        chain = f"chain {_CHAIN} {{ type filter hook output priority mangle; {rule}; }}"
        return f"nft {shlex.quote(f'table {target} {{ {chain} }}')}"


class Qdisc(Plain):
    """The root qdisc of a device. `target` is "eth0 root". None: the one that the kernel chose.

    "prio 4d4c:": ours, with three bands. Anything else, as "htb 1:", is an administrator's and cannot be written: its
    options, classes and filters would be lost.
    """

    OURS = f"prio {MAJOR:x}:"

    def read(self, target: str) -> str | None:
        index = _index(target)
        with Netlink(ROUTE) as netlink:
            found = netlink.ask(_GETQDISC, _tc(index), flags=DUMP)
        return next((value for body in found if (value := root_value(body, index)) is not None), None)

    def write(self, target: str, value: str | None) -> None:
        index = _index(target)
        if value not in (None, self.OURS):
            raise OSError(errno.EINVAL, f"only {self.OURS!r} can be made, not {value!r}")
        if self.read(target) == value:
            return
        with Netlink(ROUTE) as netlink:
            if value is None:
                # With the handle: the kernel refuses where the root is another's by now.
                netlink.ask(_DELQDISC, _tc(index, handle=_HANDLE, parent=_ROOT))
                return
            # EXCL: only in place of what the kernel chose (net/sched/sch_api.c: a root with handle 0 is ignored).
            options = attr(_OPTIONS, struct.pack("=i16s", _BANDS, _PRIOMAP))
            root = _tc(index, handle=_HANDLE, parent=_ROOT) + text(_KIND, "prio") + options
            try:
                netlink.ask(_NEWQDISC, root, flags=CREATE | EXCL)
            except FileNotFoundError as e:
                raise OSError(errno.EOPNOTSUPP, "this kernel has no qdisc prio (CONFIG_NET_SCH_PRIO)") from e
            for band in range(1, _BANDS + 1):
                # Without fq_codel a band is a plain queue.
                with suppress(OSError):
                    netlink.ask(_NEWQDISC, _tc(index, parent=_HANDLE | band) + text(_KIND, "fq_codel"), flags=CREATE)

    def command(self, target: str, value: str | None) -> str:
        device = shlex.quote(target.partition(" ")[0])
        if value is None:
            return f"tc qdisc del dev {device} root"
        return f"tc qdisc add dev {device} root handle {MAJOR:x}: prio"


def rule(table: str, value: str) -> bytes:
    """The attributes of the rule that a value stands for."""
    major, minor, path, id_ = _wanted(value)
    expressions = (
        _expression("socket", be32(1, _KEY_CGROUPV2), be32(2, _REGISTER_1), be32(3, _level(path))),
        _expression("cmp", be32(1, _REGISTER_1), be32(2, _EQUAL), nest(3, attr(1, struct.pack("=Q", id_)))),
        _expression("immediate", be32(1, _REGISTER_1), nest(2, attr(1, struct.pack("=I", major << 16 | minor)))),
        _expression("meta", be32(2, _KEY_PRIORITY), be32(3, _REGISTER_1)),
    )
    comment = path.encode() + b"\0"
    # NFTNL_UDATA_RULE_COMMENT: a byte of type, a byte of length, as libnftnl lays it out and nft(8) shows it.
    return text(1, table) + text(2, _CHAIN) + nest(4, *expressions) + attr(7, bytes((0, len(comment))) + comment)


def rule_value(body: bytes) -> str | None:
    """The value that stands for a rule as the kernel lists it (after struct nfgenmsg); None where it is not ours."""
    listed = attributes(body[4:])
    expressions = [attributes(one) for _, one in each(listed.get(4, b""))]
    names = [one.get(1, b"").rstrip(b"\0") for one in expressions]
    if names != [b"socket", b"cmp", b"immediate", b"meta"]:
        return None
    sock, compare, immediate, meta = (attributes(one.get(2, b"")) for one in expressions)
    cgroup, priority = (attributes(data).get(1, b"") for data in (compare.get(3, b""), immediate.get(2, b"")))
    path = _comment(listed.get(7, b""))
    keys = (sock.get(1), sock.get(3), compare.get(2), meta.get(2))
    if keys != tuple(struct.pack(">I", n) for n in (_KEY_CGROUPV2, _level(path), _EQUAL, _KEY_PRIORITY)):
        return None
    if len(cgroup) != 8 or len(priority) != 4:
        return None
    (id_,), (class_,) = struct.unpack("=Q", cgroup), struct.unpack("=I", priority)
    return f"priority {class_ >> 16:x}:{class_ & 0xFFFF:x} cgroup {path} id {id_}"


def root_value(body: bytes, index: int) -> str | None:
    """The value that stands for a listed qdisc (struct tcmsg); None where it is not this device's, or the kernel's."""
    if len(body) < 20:
        return None
    _, device, handle, parent, _ = struct.unpack_from("=BxxxiIII", body)
    if device != index or parent != _ROOT or handle == 0:
        return None
    about = attributes(body[20:])
    kind = about.get(_KIND, b"").rstrip(b"\0").decode(errors="replace")
    value = f"{kind} {handle >> 16:x}:"
    if value == Qdisc.OURS and about.get(_OPTIONS, b"")[:20] != struct.pack("=i16s", _BANDS, _PRIOMAP):
        return f"{value} with other bands"
    return value


def _table(target: str) -> tuple[int, str]:
    family, _, name = target.partition(" ")
    if family not in _FAMILIES or not name:
        raise OSError(errno.EINVAL, f"{target!r} is not the family and name of a table")
    return _FAMILIES[family], name


def _nf(family: int) -> bytes:
    """struct nfgenmsg."""
    return struct.pack(">BBH", family, 0, 0)


def _chain(table: str) -> bytes:
    hook = nest(4, be32(1, _LOCAL_OUT), be32(2, _PRIORITY_MANGLE))
    return text(1, table) + text(3, _CHAIN) + hook + text(7, "filter")


def _expression(name: str, *about: bytes) -> bytes:
    return nest(1, text(1, name), nest(2, *about))


def _comment(userdata: bytes) -> str:
    return userdata[2:].rstrip(b"\0").decode(errors="replace") if userdata[:1] == b"\0" else ""


def _wanted(value: str) -> tuple[int, int, str, int]:
    found = _RULE.fullmatch(value)
    if found is None or len(found[3].encode()) > 200:
        raise OSError(errno.EINVAL, f"{value!r} is not a rule of ours")
    return int(found[1], 16), int(found[2], 16), found[3], int(found[4])


def _level(path: str) -> int:
    """How deep below the root of the hierarchy the cgroup is."""
    return path.count("/") + 1


def _index(target: str) -> int:
    device, _, where = target.partition(" ")
    if where != "root":
        raise OSError(errno.EINVAL, f"{target!r} is not a device and root")
    try:
        return socket.if_nametoindex(device)
    except OSError as e:
        raise OSError(errno.ENODEV, f"there is no network device {device}") from e


def _tc(index: int, *, handle: int = 0, parent: int = 0) -> bytes:
    """struct tcmsg."""
    return struct.pack("=BxxxiIII", 0, index, handle, parent, 0)
