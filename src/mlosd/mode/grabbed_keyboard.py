"""A keyboard that is to be ours alone (EVIOCGRAB), without a key stuck for everybody else. Owns its device."""

import time

from mlosd.kernel import evdev
from mlosd.kernel.evdev import EventDevice
from mlosd.mode.keyboard_buffer import KeyboardBuffer, Stroke


class GrabbedKeyboard:
    """One keyboard: opened, and grabbed once no key of it is down. `number`: what the buffer calls it."""

    def __init__(self, number: int, device: EventDevice) -> None:
        self.number = number
        self.device = device
        self.is_grabbed = False
        self._lost = False

    def grab_if_idle(self) -> list[Stroke]:
        """Grab it, unless a key is down: its release would reach us only, and the key would be stuck for all others.

        Returns strokes that nobody but us heard, in the rare case that it had to be let go of again. EBUSY: another
        program has it.
        """
        self.device.read()
        if self.device.keys_down():
            return []
        self.device.grab()
        since = time.monotonic()
        late = [event for event in self.device.read() if event.type == evdev.EV_KEY]
        if not late:
            self.is_grabbed = True
            return []
        # Somebody typed between the look and the grab: everybody heard the press, and must hear the release.
        heard = {event.code for event in late if event.value == 1 and event.time < since}
        stuck = heard - self.device.keys_down()
        for code in stuck:
            self.device.inject(evdev.EV_KEY, code, 1)  # unheard; or the kernel would drop the release, too
        self.device.ungrab()
        for code in stuck:
            self.device.inject(evdev.EV_KEY, code, 0)
        return [Stroke(event.code, event.value == 1) for event in late if event.time >= since and event.value != 2]

    def ungrab(self, buffer: KeyboardBuffer) -> None:
        """Everybody hears it again; what only we heard is in the buffer."""
        if not self.is_grabbed:
            return
        until = time.monotonic()
        self.device.ungrab()
        self._take(buffer, until)
        self.is_grabbed = False

    def read_into(self, buffer: KeyboardBuffer) -> None:
        """Take what was typed. ENODEV: it was unplugged."""
        self._take(buffer, float("inf"))

    def _take(self, buffer: KeyboardBuffer, until: float) -> None:
        for event in self.device.read():
            if (event.type, event.code) == (evdev.EV_SYN, evdev.SYN_DROPPED):
                self._lost = True
            elif self._lost:  # what follows, up to the end of its packet, is half of something
                if (event.type, event.code) == (evdev.EV_SYN, evdev.SYN_REPORT):
                    self._lost = False
                    buffer.resync(self.number, self.device.keys_down() if self.is_grabbed else (), time.monotonic())
            elif event.type == evdev.EV_KEY and self.is_grabbed and event.time < until:
                buffer.key(self.number, event.code, event.value, time.monotonic())
