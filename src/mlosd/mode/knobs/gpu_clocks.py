"""NVIDIA graphics clock of the GPUs that training holds, locked (nvidia-smi --lock-gpu-clocks).

Between two kernels a GPU lowers its clock, and the next step begins slowly; with the clock locked, step times vary
less. Power and heat still limit it: a lock is no overclocking, and a GPU at its power limit gains nothing.

What it costs: power while the GPU waits. Pitfalls: NVML can set locked clocks but not tell them. A lock that the
administrator set is not seen, and is gone after ML mode, since all that can be put back is the driver's default: on a
machine with clocks of its own leave this knob off, or pin it. Without persistence mode the driver forgets the lock when
the last program ends. Needs Volta or newer.

Setting: true, for the highest clock of each GPU, or a clock in MHz. Put back (reset) through the undo log.
"""

from collections.abc import Iterator

from mlosd.mode import gpus
from mlosd.mode.knob import Cannot, Knob, Want, Wish, number
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.kinds.gpu import Gpu

_MHZ = number(100, 10_000)


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    for gpu in gpus.of_training(scene):
        if isinstance(gpu, Cannot):
            yield gpu
            continue
        target = f"{gpu.uuid} clocks"
        try:
            clock = Gpu(scene.host.nvml).highest_clock(gpu.uuid) if setting is True else setting
        except OSError as e:
            yield Cannot(target, e.strerror or str(e))
        else:
            yield Want("gpu", target, f"locked {clock} {clock}")


def accepts(setting: Setting) -> None:
    if setting is not True:
        _MHZ(setting)


KNOB = Knob("gpu-clocks", "optional", 81, wishes, accepts)
