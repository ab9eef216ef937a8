"""The process that has the keyboards: `python -I -m mlosd.mode.typist --seconds N /dev/input/eventM ...`.

It grabs them, keeps the strokes (mlosd.mode.keyboard_buffer) and gives them on through a virtual keyboard. Owns the
grabs. It ends by "release" on stdin or its end (the daemon died), by the panic chord, by a switch of the virtual
terminal; and by SIGALRM, whose default is death, when it does not get round to flushing. However it ends, the kernel
drops the grabs and lifts the keys of the virtual keyboard. What it says is one line each on stdout: "ready",
"skipped PATH: REASON", "panic", "ended: REASON".

Standard library and mlosd.kernel only. Strokes are in its memory and nowhere else: no swap, no core dump, no log.
"""

import argparse
import contextlib
import errno
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mlosd.kernel import evdev, mlock
from mlosd.kernel.evdev import EventDevice
from mlosd.kernel.uinput import VirtualKeyboard
from mlosd.mode.grabbed_keyboard import GrabbedKeyboard
from mlosd.mode.keyboard_buffer import VIRTUAL, KeyboardBuffer, Stroke

ACTIVE_TERMINAL = Path("/sys/class/tty/tty0/active")

# Desktops need a moment to notice a new keyboard, and to read what it sent last.
_SETTLE = 1.0
_LINGER = 0.3
# Readers' buffers have room for 64 events (EVDEV_MIN_BUFFER_SIZE), two for each stroke: not all at once.
_PACE = 0.003
_BUSY_PATIENCE = 5.0


class Typist:
    """Turns until there is a reason to end. `outbox` holds strokes on their way, a few milliseconds apart."""

    def __init__(
        self, seconds: float, keyboards: Sequence[GrabbedKeyboard], virtual: VirtualKeyboard, say: Callable[[str], None]
    ) -> None:
        now = time.monotonic()
        self._seconds = seconds
        self._keyboards = {keyboard.device.fileno(): keyboard for keyboard in keyboards}
        self._virtual = virtual
        self._say = say
        self._buffer = KeyboardBuffer(seconds, now)
        self._outbox: deque[Stroke] = deque()
        self._poll = select.poll()
        self._sources: dict[int, Callable[[], str | None]] = {}
        self._grab_from = now + _SETTLE
        self.watch(virtual.fileno(), select.POLLIN, self._light)
        for fd in self._keyboards:
            self.watch(fd, select.POLLIN, partial(self._listen, fd))

    def watch(self, fd: int, events: int, act: Callable[[], str | None]) -> None:
        """Call `act` when something comes; what it returns is a reason to end."""
        self._sources[fd] = act
        self._poll.register(fd, events)

    def run(self) -> str:
        """Do it; the reason for the end. Everything is given on and let go of, then."""
        while (reason := self._turn()) is None:
            pass
        if reason == "panic":
            self._let_go()  # at once; what is still to come is given on behind it
        self._give_the_rest()
        self._let_go()
        self._give_the_rest()
        return reason

    def _give_the_rest(self) -> None:
        self._outbox += self._buffer.flush()
        while self._outbox:
            self._rearm()
            self._give()
            time.sleep(_PACE)
            for fd in tuple(self._keyboards):
                self._listen(fd)
            self._outbox += self._buffer.flush()

    def _turn(self) -> str | None:
        self._rearm()
        for fd, _ in self._poll.poll(self._wait() * 1000):
            act = self._sources.get(fd)
            if act and (reason := act()):
                return reason
        now = time.monotonic()
        if now >= self._grab_from:
            self._grab_the_idle(now)
        if self._buffer.panicked:
            return "panic"
        if not self._keyboards:
            return "no keyboard is left"
        due = self._buffer.due()
        if due is not None and due <= now:
            self._outbox += self._buffer.flush()
        self._give()
        return None

    def _wait(self) -> float:
        if self._outbox:
            return _PACE
        now = time.monotonic()
        moments = [now + self._seconds]
        if (due := self._buffer.due()) is not None:
            moments.append(due)
        if not all(keyboard.is_grabbed for keyboard in self._keyboards.values()):
            moments.append(max(self._grab_from, now + 0.1))
        return max(0.0, min(moments) - now)

    def _rearm(self) -> None:
        """The watchdog: SIGALRM is not handled, so that whatever we hang in, it ends us."""
        if not self._buffer.is_overdue(time.monotonic()):
            signal.setitimer(signal.ITIMER_REAL, 2 * self._seconds + 1.0)

    def _give(self) -> None:
        if self._outbox:
            stroke = self._outbox.popleft()
            self._virtual.emit(stroke.code, int(stroke.down))

    def _grab_the_idle(self, now: float) -> None:
        for fd, keyboard in tuple(self._keyboards.items()):
            if keyboard.is_grabbed:
                continue
            try:
                self._outbox += _balanced(keyboard.grab_if_idle())
            except OSError as e:
                if e.errno != errno.EBUSY:
                    self._drop(fd, e.strerror or str(e))
                elif now > self._grab_from + _BUSY_PATIENCE:
                    self._drop(fd, "another program has it")

    def _listen(self, fd: int) -> None:
        keyboard = self._keyboards[fd]
        try:
            keyboard.read_into(self._buffer)
        except OSError as e:
            self._buffer.resync(keyboard.number, (), time.monotonic())
            self._drop(fd, "unplugged" if e.errno == errno.ENODEV else e.strerror or str(e))

    def _drop(self, fd: int, reason: str) -> None:
        keyboard = self._keyboards.pop(fd)
        self._poll.unregister(fd)
        del self._sources[fd]
        keyboard.device.close()
        self._say(f"skipped {keyboard.device.path}: {reason}")

    def _light(self) -> None:
        """Who has the virtual keyboard switched a LED of it: the ones that a person sees are on the real ones."""
        for event in self._virtual.leds():
            for keyboard in self._keyboards.values():
                with contextlib.suppress(OSError):
                    keyboard.device.inject(evdev.EV_LED, event.code, event.value)

    def _let_go(self) -> None:
        for keyboard in self._keyboards.values():
            with contextlib.suppress(OSError):  # unplugged
                keyboard.ungrab(self._buffer)


def _balanced(strokes: Sequence[Stroke]) -> list[Stroke]:
    buffer = KeyboardBuffer(1.0, 0.0)
    for stroke in strokes:
        buffer.key(0, stroke.code, int(stroke.down), 0.0)
    return buffer.flush()


def _open(paths: Sequence[Path], say: Callable[[str], None]) -> list[GrabbedKeyboard]:
    keyboards: list[GrabbedKeyboard] = []
    for path in paths:
        try:
            device = EventDevice(path)
            if not device.codes(evdev.EV_KEY) >= evdev.LETTERS or evdev.EV_SW in device.event_types():
                device.close()
                say(f"skipped {path}: it is no keyboard, or has the lid's switch")
            else:
                keyboards.append(GrabbedKeyboard(len(keyboards), device))
        except OSError as e:
            say(f"skipped {path}: {e.strerror}")
    return keyboards


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the daemon is gone
        os.write(1, f"{line}\n".encode())


def _watch_for_the_end(typist: Typist, active_terminal: Path) -> None:
    os.set_blocking(0, False)
    typist.watch(0, select.POLLIN, _heard)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # its number is in the pipe
    typist.watch(woken, select.POLLIN, lambda: f"signal {os.read(woken, 1)[0]}")
    with contextlib.suppress(OSError):  # no virtual terminals here
        active = os.open(active_terminal, os.O_RDONLY | os.O_CLOEXEC)
        before = os.pread(active, 64, 0)
        # drivers/tty/vt/vt.c: sysfs_notify() at each switch, which poll(2) hears as POLLPRI once it was read.
        typist.watch(active, select.POLLPRI, lambda: "another terminal" if os.pread(active, 64, 0) != before else None)


def _heard() -> str | None:
    said = os.read(0, 64)
    return "the daemon is gone" if not said else "released" if b"release" in said else None


def main(argv: Sequence[str]) -> int:
    """Open, say "ready", and turn until the end."""
    parser = argparse.ArgumentParser(prog="mlosd-typist")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--uinput", type=Path, default=Path("/dev/uinput"))
    parser.add_argument("--active-terminal", type=Path, default=ACTIVE_TERMINAL)
    parser.add_argument("keyboards", type=Path, nargs="+")
    given = parser.parse_args(argv)
    try:
        mlock.set_not_dumpable()
        mlock.mlockall(mlock.Lock.CURRENT | mlock.Lock.FUTURE | mlock.Lock.ONFAULT)
    except OSError as e:
        _say(f"ended: strokes could reach the swap: {e.strerror}")
        return os.EX_UNAVAILABLE
    keyboards = _open(given.keyboards, _say)
    if not keyboards:
        _say("ended: no keyboard is left")
        return os.EX_UNAVAILABLE
    keys = frozenset[int]().union(*(keyboard.device.codes(evdev.EV_KEY) for keyboard in keyboards))
    try:
        virtual = VirtualKeyboard(VIRTUAL, keys, given.uinput)
    except OSError as e:
        _say(f"ended: {given.uinput}: {e.strerror}")
        return os.EX_UNAVAILABLE
    typist = Typist(given.seconds, keyboards, virtual, _say)
    _watch_for_the_end(typist, given.active_terminal)
    _say("ready")
    reason = typist.run()
    _say("panic" if reason == "panic" else f"ended: {reason}")
    time.sleep(_LINGER)
    virtual.destroy()
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
