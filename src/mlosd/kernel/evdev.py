"""Input devices, /dev/input/eventN: struct input_event and the ioctls of include/uapi/linux/input.h.

Closing a descriptor, or dying, ends its grab. Names of events are those of input-event-codes.h. Standard library only.
"""

import contextlib
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from mlosd.kernel import ioctl

EV_SYN, EV_KEY, EV_REL, EV_ABS, EV_MSC, EV_SW, EV_LED = 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x11
SYN_REPORT, SYN_DROPPED = 0, 3
KEY_MAX = 0x2FF
KEY_ESC = 1
KEY_ENTER = 28
KEY_LEFTCTRL, KEY_RIGHTCTRL = 29, 97
KEY_LEFTSHIFT, KEY_RIGHTSHIFT = 42, 54
KEY_LEFTALT, KEY_RIGHTALT = 56, 100
KEY_LEFTMETA, KEY_RIGHTMETA = 125, 126
KEY_A, KEY_Z = 30, 44
KEY_SYSRQ = 99
KEY_POWER, KEY_SLEEP, KEY_WAKEUP, KEY_SUSPEND = 116, 142, 143, 205
# KEY_F1 to KEY_F10, KEY_F11, KEY_F12
FUNCTION_KEYS = frozenset((*range(59, 69), 87, 88))
# The codes follow the rows of the keyboard: QWERTYUIOP, ASDFGHJKL, ZXCVBNM.
LETTERS = frozenset((*range(16, 26), *range(30, 39), *range(44, 51)))
BTN_LEFT, BTN_TOUCH = 0x110, 0x14A
REL_X = 0x00
LED_NUML, LED_CAPSL, LED_SCROLLL = 0, 1, 2
BUS_VIRTUAL = 0x06

# struct input_event: two longs of time, type, code, value.
EVENT = struct.Struct("@llHHi")
INPUT_ID = struct.Struct("@HHHH")
_INT = struct.Struct("@i")
_TEXT_SIZE = 256
_AT_ONCE = 64

_EVIOCGID = ioctl.ior("E", 0x02, INPUT_ID.size)
_EVIOCGNAME = ioctl.ior("E", 0x06, _TEXT_SIZE)
_EVIOCGPHYS = ioctl.ior("E", 0x07, _TEXT_SIZE)
_EVIOCGKEY = 0x18
_EVIOCGBIT = 0x20
_EVIOCGRAB = ioctl.iow("E", 0x90, _INT.size)
_EVIOCSCLOCKID = ioctl.iow("E", 0xA0, _INT.size)


@dataclass(frozen=True, slots=True)
class Event:
    """One struct input_event. `time`: on the clock of time.monotonic(), where EventDevice read it."""

    time: float
    type: int
    code: int
    value: int


@dataclass(frozen=True, slots=True)
class InputId:
    """struct input_id."""

    bustype: int
    vendor: int
    product: int
    version: int


def encode(type_: int, code: int, value: int) -> bytes:
    """A struct input_event to be written; the kernel looks at its clock itself."""
    return EVENT.pack(0, 0, type_, code, value)


def decode(data: bytes) -> list[Event]:
    """The events that a read(2) returned: whole ones only, evdev_read() sees to that."""
    return [Event(sec + usec / 1e6, type_, code, value) for sec, usec, type_, code, value in EVENT.iter_unpack(data)]


def bits(bitmap: bytes) -> frozenset[int]:
    """The numbers of the bits that are set: an array of longs of this machine."""
    return frozenset(
        8 * place + bit for place, byte in enumerate(_little(bitmap)) if byte for bit in range(8) if byte >> bit & 1
    )


class EventDevice:
    """An open event device. Owns the descriptor, and with it the grab. Methods raise OSError; ENODEV: unplugged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # ENOTTY: not an event device, which the first real question will say
            fcntl.ioctl(self.fd, _EVIOCSCLOCKID, _INT.pack(time.CLOCK_MONOTONIC))

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        os.close(self.fd)

    def name(self) -> str:
        """EVIOCGNAME."""
        return self._text(_EVIOCGNAME)

    def phys(self) -> str:
        """EVIOCGPHYS: where it is plugged in; empty where the driver does not say."""
        try:
            return self._text(_EVIOCGPHYS)
        except FileNotFoundError:
            return ""

    def id(self) -> InputId:
        """EVIOCGID."""
        return InputId(*INPUT_ID.unpack(fcntl.ioctl(self.fd, _EVIOCGID, bytes(INPUT_ID.size))))

    def event_types(self) -> frozenset[int]:
        """EVIOCGBIT(0): EV_KEY, EV_REL ..."""
        return self._bits(_EVIOCGBIT, 4)

    def codes(self, type_: int) -> frozenset[int]:
        """EVIOCGBIT: which codes of this type it can send."""
        return self._bits(_EVIOCGBIT + type_, (KEY_MAX + 1) // 8)

    def keys_down(self) -> frozenset[int]:
        """EVIOCGKEY. Key events that were not read yet are dropped by the kernel: they are in this answer."""
        return self._bits(_EVIOCGKEY, (KEY_MAX + 1) // 8)

    def grab(self) -> None:
        """EVIOCGRAB: from now on nobody else hears it. EBUSY: somebody else has it already."""
        fcntl.ioctl(self.fd, _EVIOCGRAB, 1)

    def ungrab(self) -> None:
        fcntl.ioctl(self.fd, _EVIOCGRAB, 0)

    def read(self) -> list[Event]:
        """What has come; empty: nothing. SYN_DROPPED among it: some was lost, see Documentation/input/event-codes."""
        try:
            return decode(os.read(self.fd, EVENT.size * _AT_ONCE))
        except BlockingIOError:
            return []

    def inject(self, type_: int, code: int, value: int) -> None:
        """As if the device had sent it (evdev_write()): LEDs are lit so. While grabbed, only the holder hears it."""
        os.write(self.fd, encode(type_, code, value) + encode(EV_SYN, SYN_REPORT, 0))

    def _bits(self, number: int, size: int) -> frozenset[int]:
        return bits(fcntl.ioctl(self.fd, ioctl.ior("E", number, size), bytes(size)))

    def _text(self, request: int) -> str:
        text: bytes = fcntl.ioctl(self.fd, request, bytes(_TEXT_SIZE))
        return text.partition(b"\0")[0].decode(errors="replace")


def _little(bitmap: bytes) -> bytes:
    """In the order of the bits, also on a big-endian machine."""
    word = struct.calcsize("@l")
    padded = bitmap + bytes(-len(bitmap) % word)
    words = struct.unpack(f"@{len(padded) // word}L", padded)
    return b"".join(one.to_bytes(word, "little") for one in words)
