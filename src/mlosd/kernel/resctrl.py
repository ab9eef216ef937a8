"""Resource control (filesystems/resctrl): memory bandwidth and cache per group of tasks. Reads only."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlosd.kernel.mountinfo import Mount

# /proc/cpuinfo flags, and the schema each one adds (x86). Other architectures have no flag: there only the mount tells.
_SCHEMA_OF_FLAG = {"cat_l3": "L3", "cat_l2": "L2", "mba": "MB"}


@dataclass(frozen=True, slots=True)
class Support:
    """`kernel`: the file system is there. `schemas`: what this CPU can divide. `mounted`: where, if at all."""

    kernel: bool
    schemas: tuple[str, ...]
    mounted: Path | None


def read(mounts: Iterable[Mount], proc: Path = Path("/proc")) -> Support:
    filesystems = (proc / "filesystems").read_text(encoding="ascii").split()
    mounted = next((mount.target for mount in mounts if mount.fstype == "resctrl"), None)
    if mounted is not None and (mounted / "info").is_dir():
        schemas = tuple(sorted(entry.name for entry in (mounted / "info").iterdir() if not entry.name.endswith("_MON")))
        schemas = tuple(name for name in schemas if name != "last_cmd_status")
    else:
        flags = _cpu_flags(proc / "cpuinfo")
        schemas = tuple(schema for flag, schema in _SCHEMA_OF_FLAG.items() if flag in flags)
    return Support(kernel="resctrl" in filesystems, schemas=schemas, mounted=mounted)


def _cpu_flags(cpuinfo: Path) -> frozenset[str]:
    with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return frozenset(value.split())
    return frozenset()
