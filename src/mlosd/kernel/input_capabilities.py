"""What an input device can send: its bitmaps in /sys/class/input/inputN/capabilities (input.c). Reads only.

A device need not be opened for it, which would wake it up.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from mlosd.kernel import evdev

_WORD = 8 * struct.calcsize("@l")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The codes that a device can send, by type of event."""

    keys: frozenset[int]
    relative: frozenset[int]
    switches: frozenset[int]

    @property
    def is_keyboard(self) -> bool:
        """Whether one can write with it: a power button has keys, too."""
        return self.keys >= evdev.LETTERS

    @property
    def has_letters(self) -> bool:
        """Whether it has any key to write with."""
        return bool(self.keys & (evdev.LETTERS | {evdev.KEY_ENTER}))

    @property
    def is_pointer(self) -> bool:
        """Whether it is a mouse, a touchpad, a touch screen."""
        return evdev.REL_X in self.relative or bool(self.keys & {evdev.BTN_LEFT, evdev.BTN_TOUCH})


def read(directory: Path) -> Capabilities:
    """Those of /sys/class/input/inputN. Raises ValueError where a bitmap is none; OSError where the device is gone."""
    folder = directory / "capabilities"
    return Capabilities(_bits(folder / "key"), _bits(folder / "rel"), _bits(folder / "sw"))


def event_node(directory: Path) -> str | None:
    """The name of its node below /dev/input, "event3"; None where evdev has none for it."""
    return next((child.name for child in sorted(directory.glob("event[0-9]*"))), None)


def _bits(file: Path) -> frozenset[int]:
    # Words of a long, the highest first, without leading zeros: input_print_bitmap().
    found = set()
    for place, word in enumerate(reversed(file.read_text(encoding="ascii").split())):
        try:
            number = int(word, 16)
        except ValueError:
            raise ValueError(f"{file}: not a bitmap: {word!r}") from None
        found |= {place * _WORD + bit for bit in range(_WORD) if number >> bit & 1}
    return frozenset(found)
