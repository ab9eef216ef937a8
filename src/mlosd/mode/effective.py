"""What became of a value that was written: where the kernel has a second word on it, that word. Reads only.

A cpuset may be empty, an interrupt may be handled elsewhere than it may be handled, a weight may mean nothing to the
scheduler that runs. `mlosctl mode verify` asks here after it has seen that the value itself is still ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from mlosd.kernel import cpulist, sched_ext
from mlosd.kernel.io_weight import heeding_disks
from mlosd.mode.scene import Host
from mlosd.undo.systemd import Systemd

# ok: it is so. differs: it is not. void: it is so, and means nothing here. unknown: the kernel does not tell.
Says = Literal["ok", "differs", "void", "unknown"]
_PAGE = 4096


class Changed(Protocol):
    """What an undo log's record, or a step of a plan, says of a target."""

    @property
    def kind(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def after(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Effect:
    """`value`: what is in force. `detail`: why it is not what was asked for, in words."""

    value: str | None
    says: Says
    detail: str = ""


def effective(changed: Changed, host: Host) -> Effect | None:
    """What is in force of a change; None where the value itself is all there is to know."""
    if changed.kind == "cpulist" and changed.target.endswith("/smp_affinity_list"):
        return _interrupt(Path(changed.target).with_name("effective_affinity_list"), changed.after or "")
    unit, _, name = changed.target.partition(" ")
    check = _PROPERTIES.get(name) if changed.kind == "unit" else None
    if check is None or host.pid1 is None:
        return None
    asked = (changed.after or "").removesuffix(" runtime")
    try:
        group = _control_group(unit, host.pid1)
    except OSError as e:
        return Effect(None, "unknown", f"systemd does not tell where {unit} is: {e.strerror or e}")
    if not group:
        return Effect(None, "void", f"nothing runs in {unit} now")
    return check(host.cgroups / group.lstrip("/"), asked, host)


def _control_group(unit: str, pid1: Systemd) -> str:
    """Where the unit's cgroup is; never guessed from its name. "" while it is not active."""
    return str(pid1.resource(unit, "ControlGroup")) if pid1.state(unit) == "active" else ""


def _cpus(cgroup: Path, asked: str, host: Host) -> Effect:
    file = cgroup / "cpuset.cpus.effective"
    return _within(file, asked) if file.exists() else Effect(None, "differs", f"{cgroup.name} has no cpuset controller")


def _cpu_weight(cgroup: Path, asked: str, host: Host) -> Effect:
    idle, weight = _read(cgroup / "cpu.idle"), _read(cgroup / "cpu.weight")
    now = "idle" if idle == "1" else weight
    if now is None:
        return Effect(None, "differs", f"{cgroup.name} has no cpu controller")
    if now != asked:
        return Effect(now, "differs", f"asked for {asked}")
    if loaded := sched_ext.scheduler(host.sys):
        return Effect(now, "void", f"the sched_ext scheduler {loaded} may ignore cpu.weight: most do")
    return Effect(now, "ok")


def _io_weight(cgroup: Path, asked: str, host: Host) -> Effect:
    text = _read(cgroup / "io.weight")
    now = text.splitlines()[0].removeprefix("default ") if text else None
    if not heeding_disks(host.cgroups, host.sys):
        return Effect(now, "void", "no disk here has BFQ or iocost on")
    return _equal(now, asked, f"{cgroup.name} has no io controller")


def _memory(file: str) -> Callable[[Path, str, Host], Effect]:
    def check(cgroup: Path, asked: str, host: Host) -> Effect:
        # The kernel counts in pages and rounds down (page_counter_memparse).
        whole = str(int(asked) // _PAGE * _PAGE) if asked.isdecimal() else "max"
        return _equal(_read(cgroup / file), whole, f"{cgroup.name} has no memory controller")

    return check


_PROPERTIES: dict[str, Callable[[Path, str, Host], Effect]] = {
    "AllowedCPUs": _cpus,
    "CPUWeight": _cpu_weight,
    "IOWeight": _io_weight,
    "MemoryLow": _memory("memory.low"),
    "MemoryHigh": _memory("memory.high"),
}


def _interrupt(file: Path, asked: str) -> Effect:
    """Many controllers can move an interrupt only while it is being handled (kernel/irq/migration.c)."""
    effect = _within(file, asked)
    if effect.says == "differs":
        return Effect(effect.value, "unknown", f"still on {effect.value}: it moves when it fires next")
    return effect


def _within(file: Path, asked: str) -> Effect:
    """Fewer CPUs than asked for are right: an interrupt goes to one of them, and some may be offline."""
    now = _read(file)
    if now is None:
        return Effect(None, "unknown", f"this kernel does not tell ({file.name})")
    try:
        outside = set(cpulist.parse(now)) - set(cpulist.parse(asked))
    except ValueError as e:
        return Effect(now, "unknown", str(e))
    if outside:
        return Effect(now, "differs", f"asked for {asked or 'none'}")
    return Effect(now, "ok")


def _equal(now: str | None, asked: str, missing: str) -> Effect:
    if now is None:
        return Effect(None, "differs", missing)
    return Effect(now, "ok") if now == asked else Effect(now, "differs", f"asked for {asked}")


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
