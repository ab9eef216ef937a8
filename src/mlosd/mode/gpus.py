"""The GPUs that training holds, as the driver sees them: what the GPU knobs have in common. Reads only."""

from collections.abc import Iterator

from mlosd.kernel import nvml
from mlosd.kernel.nvml import Gpu
from mlosd.mode.knob import Cannot
from mlosd.mode.scene import Scene


def of_training(scene: Scene) -> Iterator[Gpu | Cannot]:
    """Each GPU that training holds, or why there is none to set."""
    if not scene.gpus:
        yield Cannot("GPUs", "training holds none")
        return
    found = nvml.read(scene.host.nvml)
    if not found.gpus:
        yield Cannot("GPUs", found.reason or "there is none")
        return
    by_uuid = {gpu.uuid: gpu for gpu in found.gpus}
    for uuid in scene.gpus:
        yield by_uuid.get(uuid) or Cannot(uuid, "the driver does not see this GPU")
