"""How readily anonymous memory is swapped rather than page cache dropped (sysctl vm.swappiness).

A low value, 10, keeps the tensors and interpreters of a training in memory and gives up cached files first. 0 swaps
only to avoid running out of memory; values over 100 prefer swapping, for swap that is faster than the disk (zram). It
counts for the whole machine; what one training must keep is better said with memory.low (mlos-memory-low). Too low a
value makes data loaders read from the disk again and again. Without swap it does nothing.
"""

from collections.abc import Iterator
from pathlib import Path

from mlosd.mode.knob import Cannot, Knob, Want, Wish, number
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """It is as set."""
    file = scene.host.proc / "sys/vm/swappiness"
    if not file.exists():
        yield Cannot(str(file), "this kernel has no swap")
        return
    void = None if _has_swap(scene.host.proc) else "this machine has no swap"
    yield Want("text", str(file), str(setting), void=void)


def _has_swap(proc: Path) -> bool:
    try:
        # The first line is a heading.
        return len((proc / "swaps").read_text(encoding="utf-8", errors="replace").splitlines()) > 1
    except FileNotFoundError:
        return False


KNOB = Knob(
    name="swappiness", use="optional", stage=70, wishes=wishes, accepts=number(0, 200), rivals=("tuned.service",)
)
