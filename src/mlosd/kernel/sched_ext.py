"""Extensible schedulers (scheduler/sched-ext): which BPF scheduler runs the machine, if any. Reads only.

It matters to whoever gives weights: a scheduler without ops.cgroup_set_weight() takes no notice of cpu.weight, and most
have none. AllowedCPUs= (cpusets) bind under any of them.
"""

from pathlib import Path


def scheduler(sys: Path = Path("/sys")) -> str | None:
    """The name of the scheduler that has all ordinary tasks; None where it is the kernel's own.

    One that is loaded for tasks of SCHED_EXT only (SCX_OPS_SWITCH_PARTIAL) leaves the others to the fair class, where
    weights count; so it is none here. Neither is one that is just coming or going.
    """
    directory = sys / "kernel/sched_ext"
    if _word(directory / "state") != "enabled" or _word(directory / "switch_all") == "0":
        return None
    # The name is only there while the scheduler is (scx_alloc_and_add_sched): it may go between two reads.
    return _word(directory / "root/ops") or "sched_ext"


def _word(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
