"""What becomes of strokes while the keyboards are ours: kept, and every few seconds given on in the order of typing.

Pure: events and times go in, strokes come out. Owns the strokes until `flush` gives them away.

What a flush gives is balanced: it begins and ends with no key down on the virtual keyboard. So no program that dies,
and no moment at which the mode ends, leaves a key stuck, and nobody repeats a key that is held from one flush to the
next. A modifier that is still held is lifted at the end, and pressed again before the next stroke that needs it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from mlosd.kernel import evdev

_CTRL = frozenset((evdev.KEY_LEFTCTRL, evdev.KEY_RIGHTCTRL))
_ALT = frozenset((evdev.KEY_LEFTALT, evdev.KEY_RIGHTALT))
# SysRq, too: what is typed while it is held is for the kernel (admin-guide/sysrq).
MODIFIERS = (
    _CTRL | _ALT | {evdev.KEY_LEFTSHIFT, evdev.KEY_RIGHTSHIFT, evdev.KEY_LEFTMETA, evdev.KEY_RIGHTMETA, evdev.KEY_SYSRQ}
)
# Whoever presses one of these does not want to wait.
URGENT = frozenset((evdev.KEY_POWER, evdev.KEY_SLEEP, evdev.KEY_SUSPEND, evdev.KEY_WAKEUP, evdev.KEY_SYSRQ))
# The name of the virtual keyboard.
VIRTUAL = "mlosd virtual keyboard"

# A flush waits this long for a moment at which no key is down.
GRACE = 0.5


@dataclass(frozen=True, slots=True)
class Stroke:
    """A key goes down, or up."""

    code: int
    down: bool


class KeyboardBuffer:
    """The strokes that nobody has seen yet. Keyboards have numbers, which mean nothing here."""

    def __init__(self, seconds: float, now: float) -> None:
        self.panicked = False
        self._seconds = seconds
        self._start = now
        self._strokes: list[Stroke] = []
        self._oldest: float | None = None
        self._down: set[tuple[int, int]] = set()
        # Modifiers that are down and that the virtual keyboard does not hold, in the order of pressing; and whether
        # they were of use already: one that was not is a stroke of its own when it is let go of.
        self._waiting: dict[int, bool] = {}

    def key(self, keyboard: int, code: int, value: int, now: float) -> None:
        """EV_KEY came from a keyboard: 1 down, 0 up. 2, the kernel's repetition, is nothing that was typed."""
        if value == 2:
            return
        if bool(value) == ((keyboard, code) in self._down):
            return
        # A key that is down on two keyboards is down once, as for every desktop.
        before = self._codes()
        (self._down.add if value else self._down.discard)((keyboard, code))
        if self._codes() == before:
            return
        if value and self._is_panic(code):
            self.panicked = True
            return
        if self._oldest is None:
            self._oldest = now
        self._strokes.append(Stroke(code, bool(value)))

    def resync(self, keyboard: int, down: Collection[int], now: float) -> None:
        """Events of a keyboard were lost (SYN_DROPPED), or it was unplugged: these keys are down now."""
        held = [code for number, code in self._down if number == keyboard]
        for code in sorted(set(held) - set(down)):
            self.key(keyboard, code, 0, now)
        for code in sorted(set(down) - set(held)):
            self.key(keyboard, code, 1, now)

    def due(self) -> float | None:
        """When `flush` is to be called; None while nothing waits."""
        if self._oldest is None:
            return None
        codes = self._codes()
        if codes & URGENT or (codes & evdev.FUNCTION_KEYS and codes & _CTRL and codes & _ALT):
            return self._oldest
        # The end of the period in which it was typed.
        periods = (self._oldest - self._start) // self._seconds + 1
        return self._start + periods * self._seconds + (GRACE if self._down else 0.0)

    def is_overdue(self, now: float) -> bool:
        """Whether strokes wait for twice as long as they may: something is broken."""
        return self._oldest is not None and now > self._oldest + 2 * self._seconds + GRACE

    def flush(self) -> list[Stroke]:
        """All strokes, in the order of typing, balanced. They are no longer here."""
        given: list[Stroke] = []
        pressed: dict[int, None] = {}
        for stroke in self._strokes:
            if stroke.down:
                self._press(stroke.code, pressed, given)
            else:
                self._lift(stroke.code, pressed, given)
        for code in reversed(pressed):
            given.append(Stroke(code, False))
        # They were pressed before those that still wait.
        held = {code: True for code in pressed if code in MODIFIERS}
        self._waiting = held | self._waiting
        self._strokes.clear()
        self._oldest = None
        return given

    def _press(self, code: int, pressed: dict[int, None], given: list[Stroke]) -> None:
        if code in MODIFIERS:
            self._waiting[code] = False
        else:
            self._press_waiting(pressed, given)
            pressed[code] = None
            given.append(Stroke(code, True))

    def _lift(self, code: int, pressed: dict[int, None], given: list[Stroke]) -> None:
        if self._waiting.get(code) is False:
            self._press_waiting(pressed, given)
        self._waiting.pop(code, None)
        if code in pressed:
            del pressed[code]
            given.append(Stroke(code, False))

    def _press_waiting(self, pressed: dict[int, None], given: list[Stroke]) -> None:
        for code in self._waiting:
            pressed[code] = None
            given.append(Stroke(code, True))
        self._waiting.clear()

    def _is_panic(self, code: int) -> bool:
        codes = self._codes()
        return code == evdev.KEY_ESC and bool(codes & _CTRL) and bool(codes & _ALT)

    def _codes(self) -> set[int]:
        return {code for _, code in self._down}
