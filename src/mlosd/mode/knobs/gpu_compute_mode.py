"""NVIDIA compute mode "exclusive process" on the GPUs that training holds: one program at a time may compute there.

Keeps others from taking memory and time of a GPU in the middle of a run: their CUDA programs are refused it.

Pitfalls: training itself may have one process per GPU only, so data workers that use CUDA, several ranks on one GPU,
and a debugger beside it fail with "all CUDA-capable devices are busy or unavailable". Therefore off unless a person
asks. It is set only where a GPU is idle or all that compute on it is training: programs that are there already would
keep running, but could not come back.

Setting: true. Put back through the undo log, by the GPU's UUID.
"""

from collections.abc import Iterator
from pathlib import Path

from mlosd.kernel import cgroup_tree
from mlosd.mode import gpus
from mlosd.mode.knob import Cannot, Knob, Want, Wish, switch
from mlosd.mode.scene import Scene, Setting


def wishes(_: Setting, scene: Scene) -> Iterator[Wish]:
    for gpu in gpus.of_training(scene):
        if isinstance(gpu, Cannot):
            yield gpu
            continue
        target = f"{gpu.uuid} compute-mode"
        others = [pid for pid in gpu.processes if not _trains(pid, scene)]
        if others:
            yield Cannot(target, f"others compute on it: process {', '.join(map(str, others))}")
        else:
            yield Want("gpu", target, "exclusive-process")


def _trains(pid: int, scene: Scene) -> bool:
    """Whether it runs in our slice or in the cgroup of somebody who holds the mode. One that ended meanwhile does."""
    try:
        path = cgroup_tree.membership(pid, scene.host.proc).path
    except FileNotFoundError:
        return not Path(scene.host.proc, str(pid)).exists()
    except (OSError, ValueError):
        return False
    return path is not None and any(path.is_relative_to(top) for top in (f"/{scene.slice_}", *scene.members))


KNOB = Knob("gpu-compute-mode", "opt-in", 82, wishes, switch)
