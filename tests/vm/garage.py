"""The machines of the tests of ML mode: of any shape, mlosd installed, one running at a time.

Each is as heavy as all the other tests' guest, so that asking for another shape ends the one that ran.
"""

from collections.abc import Callable
from pathlib import Path

from tests.vm import install
from tests.vm.guest import Guest
from tests.vm.image import Image


class Garage:
    """Boots what is asked for, or gives what it booted last if that is of the same shape."""

    def __init__(self, image: Image, wheel: Path, folder: Callable[[], Path]) -> None:
        self._image = image
        self._wheel = wheel
        self._folder = folder
        self._shape: object = None
        self._guest: Guest | None = None

    def guest(self, *, kernel: str = "stock", cpus: int = 4, memory: int = 2048, extra: tuple[str, ...] = ()) -> Guest:
        """A running guest of this shape. It may have been in use: a test leaves it as it found it."""
        shape = (kernel, cpus, memory, extra)
        if self._guest is None or shape != self._shape:
            self.close()
            guest = Guest(self._image, self._folder(), cpus=cpus, memory=memory, kernel=kernel, extra=extra)
            self._guest = guest.__enter__()
            install.install(guest, self._wheel)
            self._shape = shape
        return self._guest

    def why_no_kernel(self, name: str) -> str | None:
        """Why there is no such kernel here; None if there is."""
        return None if self._image.kernel(name) else self._image.why_no_kernel(name)

    def close(self) -> None:
        """End the guest that runs."""
        guest, self._guest, self._shape = self._guest, None, None
        if guest:
            guest.__exit__(None, None, None)


def numa(nodes: int, *, cpus: int, memory: int) -> tuple[str, ...]:
    """Arguments for QEMU: the `cpus` and `memory` (MiB) of the guest, shared out among sockets with a node each."""
    each = cpus // nodes
    arguments = ["-smp", f"{cpus},sockets={nodes},cores={each},threads=1"]
    for node in range(nodes):
        arguments += ["-object", f"memory-backend-ram,id=ram{node},size={memory // nodes}M"]
        arguments += ["-numa", f"node,nodeid={node},memdev=ram{node},cpus={node * each}-{node * each + each - 1}"]
    return tuple(arguments)


def disk(path: Path, *, megabytes: int, serial: str = "second") -> tuple[str, ...]:
    """Arguments for QEMU: an empty virtio disk, /dev/vda in the guest."""
    path.touch()
    with path.open("r+b") as file:
        file.truncate(megabytes << 20)
    drive = f"file={path},if=none,id={serial},format=raw,cache=unsafe"
    return ("-drive", drive, "-device", f"virtio-blk-pci,drive={serial},serial={serial}")
