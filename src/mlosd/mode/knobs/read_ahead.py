"""How far the kernel reads ahead of who reads a file from its beginning to its end (queue/read_ahead_kb), in KiB.

4096 rather than the default of 128 keeps disks, arrays and network block devices busy while a data loader reads large
files; reads of shuffled small records gain nothing. It is only raised: a device that has more keeps it. Loop devices
and those in memory are left alone, for what is below them reads ahead.

A file that is open already keeps the old value: set the mode before the training starts. The price is memory for pages
that nobody comes to read, at most this much for each open file.
"""

from collections.abc import Iterator
from pathlib import Path

from mlosd.mode.knob import Cannot, Knob, Want, Wish, matching
from mlosd.mode.scene import Scene, Setting

_FILES = "block/*/queue/read_ahead_kb"
_IN_MEMORY = ("loop", "ram", "zram")


def accepts(setting: Setting) -> None:
    """Whole pages, of 64 KiB where they are largest: the kernel rounds down to pages."""
    if isinstance(setting, bool) or not isinstance(setting, int) or setting % 64 or not 64 <= setting <= 65536:
        raise ValueError("a multiple of 64, from 64 to 65536 (KiB)")


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """Each disk reads that far ahead, or farther."""
    files = [file for file in matching(scene.host.sys, _FILES) if _is_disk(file.parents[1])]
    if not files:
        yield Cannot(f"/sys/{_FILES}", "there are no disks here")
    for file in files:
        assert isinstance(setting, int)
        try:
            now = int(file.read_text(encoding="ascii"))
        except (OSError, ValueError) as e:
            yield Cannot(str(file), getattr(e, "strerror", None) or str(e))
            continue
        if now > setting:
            yield Cannot(str(file), f"it reads {now} KiB ahead already, and is only raised")
        else:
            yield Want("text", str(file), str(setting))


def _is_disk(device: Path) -> bool:
    """Not one in memory, and not one path of several to the same disk (`hidden`, as of NVMe multipath)."""
    hidden = device / "hidden"
    return not device.name.startswith(_IN_MEMORY) and not (hidden.exists() and hidden.read_text().strip() == "1")


KNOB = Knob(name="read-ahead", use="optional", stage=70, wishes=wishes, accepts=accepts, rivals=("tuned.service",))
