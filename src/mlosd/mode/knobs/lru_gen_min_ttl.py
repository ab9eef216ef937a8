"""Pages used within so many milliseconds are not reclaimed (multi-gen LRU, admin-guide/mm/multigen_lru, min_ttl_ms).

When memory is short the kernel may throw out pages that are needed again at once, and everything crawls. With 1000 the
working set of the last second stays, which keeps a training, and a desktop beside it, at its pace. The price: where
that working set does not fit, the kernel kills a process (OOM) rather than thrash. Only set it where being killed early
beats being slow for long, and where jobs have their memory.high. 0 switches it off.

It does nothing while the multi-gen LRU is off (lru_gen/enabled).
"""

from collections.abc import Iterator
from pathlib import Path

from mlosd.mode.knob import Cannot, Knob, Want, Wish, number
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """It is as set."""
    directory = scene.host.sys / "kernel/mm/lru_gen"
    file = directory / "min_ttl_ms"
    if not file.exists():
        yield Cannot(str(file), "this kernel has no multi-gen LRU")
        return
    void = None if _is_on(directory / "enabled") else "the multi-gen LRU is off (lru_gen/enabled)"
    yield Want("text", str(file), str(setting), void=void)


def _is_on(file: Path) -> bool:
    """Its text is a set of bits: 0x0007; the first is the LRU itself."""
    return bool(int(file.read_text(encoding="ascii"), 16) & 1)


KNOB = Knob(
    name="lru-gen-min-ttl",
    use="optional",
    stage=70,
    wishes=wishes,
    accepts=number(0, 60_000),
    rivals=("tuned.service",),
)
