"""How much unwritten data there may be before the kernel begins to write (vm.dirty_background_bytes or _ratio).

"bytes 268435456" makes writing begin early, so that the disk is busy all the time rather than in bursts that stop data
loaders; "ratio 10" is the usual default, which on a machine with much memory is very late. It must be lower than
dirty-limits. A low value writes files that would have been deleted soon.

As there, the kernel knows either bytes or a ratio; what is put back is the one that was in force.
"""

from collections.abc import Iterator

from mlosd.mode.knob import Cannot, Knob, Want, Wish
from mlosd.mode.knobs.dirty_limits import accepts
from mlosd.mode.scene import Scene, Setting


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """It is as set."""
    pair = scene.host.proc / "sys/vm/dirty_background"
    if not pair.with_name("dirty_background_bytes").exists():
        yield Cannot(f"{pair}_bytes", "this kernel, or this container, does not have it")
        return
    yield Want("pair", str(pair), str(setting))


KNOB = Knob(
    name="dirty-background",
    use="optional",
    stage=70,
    wishes=wishes,
    accepts=accepts,
    rivals=("tuned.service", "tlp.service"),
)
