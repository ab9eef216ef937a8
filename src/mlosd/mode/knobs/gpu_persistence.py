"""NVIDIA persistence mode on the GPUs that training holds: the driver stays ready when its last program ends.

Without it the driver tears a GPU down when nothing uses it, and each program that comes first pays for setting it up:
seconds on a machine with many GPUs. Locked clocks are lost in a teardown as well, so this comes before gpu-clocks.

What it costs: an idle GPU draws a few watts more, and while it is on, the GPU cannot be reset (nvidia-smi
--gpu-reset) and its driver cannot be unloaded: leave ML mode first. Where nvidia-persistenced keeps the driver ready
already, nothing is changed.

Setting: true. Put back through the undo log, by the GPU's UUID.
"""

from collections.abc import Iterator

from mlosd.mode import gpus
from mlosd.mode.knob import Cannot, Knob, Want, Wish, switch
from mlosd.mode.scene import Scene, Setting


def wishes(_: Setting, scene: Scene) -> Iterator[Wish]:
    for gpu in gpus.of_training(scene):
        yield gpu if isinstance(gpu, Cannot) else Want("gpu", f"{gpu.uuid} persistence", "on")


KNOB = Knob("gpu-persistence", "optional", 80, wishes, switch, rivals=("nvidia-persistenced.service",))
