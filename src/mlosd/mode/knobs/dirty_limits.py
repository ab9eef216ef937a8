"""How much unwritten data there may be before writers are made to wait (sysctl vm.dirty_bytes or vm.dirty_ratio).

"ratio 40" or "bytes 4294967296": a high limit lets a checkpoint go into memory at once and to the disk while training
goes on; a low one keeps one job's output from filling the memory. What is not written is lost when power fails, and a
later fsync(2) takes the longer the more there is.

The kernel knows either bytes or a ratio, of the memory that is free or could be freed; setting one clears the other.
What is put back is the one that was in force. A limit below dirty-background makes the kernel take half of it there.
"""

import re
from collections.abc import Iterator

from mlosd.mode.knob import Cannot, Knob, Want, Wish
from mlosd.mode.scene import Scene, Setting

_LIMIT = re.compile(r"ratio ([1-9][0-9]?|100)|bytes ([1-9][0-9]{5,15})", re.ASCII)


def accepts(setting: Setting) -> None:
    """A limit as the kernel knows them. At least 100,000 bytes: two pages of any size."""
    if not isinstance(setting, str) or not _LIMIT.fullmatch(setting):
        raise ValueError('"ratio 1" to "ratio 100", or "bytes N" with N of at least six digits')


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """It is as set."""
    pair = scene.host.proc / "sys/vm/dirty"
    if not pair.with_name("dirty_bytes").exists():
        yield Cannot(f"{pair}_bytes", "this kernel, or this container, does not have it")
        return
    yield Want("pair", str(pair), str(setting))


KNOB = Knob(
    name="dirty-limits",
    use="optional",
    stage=70,
    wishes=wishes,
    accepts=accepts,
    rivals=("tuned.service", "tlp.service"),
)
