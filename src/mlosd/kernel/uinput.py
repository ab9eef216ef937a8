"""A keyboard that is a program: /dev/uinput (input/uinput; include/uapi/linux/uinput.h). Standard library only."""

import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from mlosd.kernel import evdev, ioctl

_INT = struct.calcsize("@i")
# struct uinput_setup: struct input_id, char name[80], __u32 ff_effects_max.
SETUP = struct.Struct("@HHHH80sI")
_UI_DEV_CREATE = ioctl.io("U", 1)
_UI_DEV_DESTROY = ioctl.io("U", 2)
_UI_DEV_SETUP = ioctl.iow("U", 3, SETUP.size)
_UI_SET_EVBIT = ioctl.iow("U", 100, _INT)
_UI_SET_KEYBIT = ioctl.iow("U", 101, _INT)
_UI_SET_LEDBIT = ioctl.iow("U", 105, _INT)
_LEDS = (evdev.LED_NUML, evdev.LED_CAPSL, evdev.LED_SCROLLL)


class VirtualKeyboard:
    """A keyboard with these keys. Owns the device: closing it, or dying, unplugs it, and the kernel lifts its keys.

    It has no EV_REP: the kernel repeats no key that it holds.
    """

    def __init__(self, name: str, keys: Iterable[int], path: Path = Path("/dev/uinput")) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            for type_ in (evdev.EV_KEY, evdev.EV_LED):
                fcntl.ioctl(self.fd, _UI_SET_EVBIT, type_)
            for key in keys:
                fcntl.ioctl(self.fd, _UI_SET_KEYBIT, key)
            for led in _LEDS:
                fcntl.ioctl(self.fd, _UI_SET_LEDBIT, led)
            fcntl.ioctl(self.fd, _UI_DEV_SETUP, setup(name))
            fcntl.ioctl(self.fd, _UI_DEV_CREATE)
        except BaseException:
            os.close(self.fd)
            raise

    def fileno(self) -> int:
        """Readable when somebody switches a LED of it."""
        return self.fd

    def emit(self, code: int, value: int) -> None:
        """Press (1) or lift (0) a key."""
        os.write(self.fd, evdev.encode(evdev.EV_KEY, code, value) + evdev.encode(evdev.EV_SYN, evdev.SYN_REPORT, 0))

    def leds(self) -> list[evdev.Event]:
        """The LEDs that were switched since last time."""
        try:
            data = os.read(self.fd, evdev.EVENT.size * 64)
        except BlockingIOError:
            return []
        return [event for event in evdev.decode(data) if event.type == evdev.EV_LED]

    def destroy(self) -> None:
        """Unplug it. What a reader has not read yet, it never will (evdev_read(): ENODEV)."""
        fcntl.ioctl(self.fd, _UI_DEV_DESTROY)
        os.close(self.fd)


def setup(name: str) -> bytes:
    """A struct uinput_setup: the kernel wants a name, and cuts it at 79 bytes."""
    return SETUP.pack(evdev.BUS_VIRTUAL, 0, 0, 1, name.encode()[:79], 0)
