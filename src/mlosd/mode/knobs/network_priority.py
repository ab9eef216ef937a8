"""Packets that training sends go first: one rule of nftables on its slice, one `prio` qdisc on each network device.

Downloads of data and gradients wait behind a backup or an upload of somebody else when the device is the bottleneck.
The rule (table inet mlos_mode) gives packets of sockets in the slice the first band of the qdisc; interactive and
control packets keep that band too, so that one can log in; all others go to the two bands below it, as the kernel sorts
them by itself. Inside a band fq_codel shares fairly. It is the packet's priority that is set, not its mark: firewalls,
routing and Kubernetes give marks a meaning of their own.

What it costs: strict priority. Training that fills the device leaves the others nothing. Pitfalls: it orders what waits
in this machine only, not what it receives, nor in the network; RDMA passes it by, and so do containers with a network
namespace of their own. A device with several transmit queues is left alone unless it is named, because one qdisc makes
all CPUs wait for one lock. Where an administrator chose a root qdisc, it stays. `nft flush ruleset`, as some firewalls
do it at a reload, removes the rule: `mlosctl mode verify` tells.

Setting: true, for every wired device that is up and has one transmit queue, or { devices = ["eth0"] }. Undone by
removing table and qdisc; the kernel then chooses its default qdisc again.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mlosd.mode.knob import Cannot, Knob, Want, Wish
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.kinds.network import FIRST_BAND, OTHER, NftTable, Qdisc

TABLE = "inet mlos_mode"
_ETHERNET = "1"  # ARPHRD_ETHER
_Read = Callable[[str], str | None]
_ROOT, _TABLE = Qdisc(), NftTable()


def wishes(setting: Setting, scene: Scene, *, root: _Read = _ROOT.read, table: _Read = _TABLE.read) -> Iterator[Wish]:
    cgroup = scene.host.cgroups / scene.slice_
    if not cgroup.is_dir():
        yield Cannot(f"/{scene.slice_}", "no cgroup yet: nothing has run in it")
        return
    if table(TABLE) == OTHER:
        yield Cannot(TABLE, "somebody else has a table of this name")
        return
    named = setting["devices"] if isinstance(setting, Mapping) else None
    devices = [_device(name, scene, root, insisted=named is not None) for name in named or _wired(scene.host.sys)]
    yield from devices
    if any(isinstance(wish, Want) for wish in devices):
        # The rule is bound to the cgroup that is there now: its id changes when the slice is made anew.
        value = f"priority {FIRST_BAND} cgroup {scene.slice_} id {cgroup.stat().st_ino}"
        yield Want("nft-table", TABLE, value)
    elif not devices:
        yield Cannot(TABLE, "no wired network device is up")


def accepts(setting: Setting) -> None:
    devices = setting.get("devices") if isinstance(setting, Mapping) and set(setting) == {"devices"} else None
    named = isinstance(devices, list) and devices and all(isinstance(one, str) and _is_name(one) for one in devices)
    if setting is not True and not named:
        raise ValueError('true or { devices = ["eth0"] }')


def _device(name: str, scene: Scene, root: _Read, *, insisted: bool) -> Wish:
    target = f"{name} root"
    folder = scene.host.sys / "class/net" / name
    if not folder.exists():
        return Cannot(target, "there is no such network device")
    queues = len(list(folder.glob("queues/tx-*")))
    if queues > 1 and not insisted:
        return Cannot(target, f"it sends by {queues} queues at once; name it in devices to have one for all")
    try:
        now = root(target)
    except OSError as e:
        return Cannot(target, e.strerror or str(e))
    if now not in (None, Qdisc.OURS):
        return Cannot(target, f"the root qdisc {now.split()[0]} is the administrator's")
    return Want("qdisc", target, Qdisc.OURS)


def _wired(sys: Path) -> list[str]:
    """Devices with hardware behind them that are up. Wireless ones schedule by themselves (mac80211)."""
    folders = sorted((sys / "class/net").glob("*/device"))
    return [folder.parent.name for folder in folders if _is_wired_and_up(folder.parent)]


def _is_wired_and_up(folder: Path) -> bool:
    return (
        _text(folder / "type") == _ETHERNET
        and _text(folder / "operstate") == "up"
        and not (folder / "phy80211").exists()
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _is_name(device: str) -> bool:
    """As dev_valid_name() of the kernel has it."""
    return 0 < len(device) < 16 and device not in (".", "..") and not any(c in "/:" or c.isspace() for c in device)


KNOB = Knob("network-priority", "optional", 85, wishes, accepts)
