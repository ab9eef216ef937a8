"""How long a CPU may take to wake up, in microseconds (admin-guide/pm/cpuidle, power/pm_qos_interface).

A CPU that waits for the GPU or for data falls asleep, the deeper the longer it waits; from the deepest states it takes
100 us and more to come back, on each of the many short waits of a step. The kernel uses no state that takes longer than
this. 20 to 50 keeps the shallow states; 0 keeps every CPU of the machine spinning, which costs much power, takes the
turbo budget and the sibling thread's time from those that compute, and is seldom faster.

Held as an open /dev/cpu_dma_latency: the kernel forgets it when the descriptor is closed, also when we are killed.
Virtual machines that have no idle states of their own take it and gain nothing.
"""

import os
import struct
from pathlib import Path

from mlosd.mode.held_fd import HeldFd
from mlosd.mode.knob import Cannot, Hold, Want, Wish, number
from mlosd.mode.scene import Scene, Setting


def look(setting: Setting, scene: Scene) -> Wish:
    """The kernel has the device."""
    device = _device(scene)
    if not device.exists():
        return Cannot(str(device), "this kernel, or this container, does not have it")
    return Want("lease", str(device), f"{setting} us")


async def take(setting: Setting, scene: Scene) -> HeldFd:
    """Raises OSError."""
    fd = os.open(_device(scene), os.O_WRONLY | os.O_CLOEXEC)
    try:
        # cpu_latency_qos_write() takes a native s32, or text in hexadecimal.
        os.write(fd, struct.pack("=i", setting))
    except BaseException:
        os.close(fd)
        raise
    return HeldFd(fd)


def _device(scene: Scene) -> Path:
    return scene.host.dev / "cpu_dma_latency"


KNOB = Hold(
    name="cpu-dma-latency",
    use="core",
    stage=10,
    look=look,
    take=take,
    accepts=number(0, 1_000_000),
)
