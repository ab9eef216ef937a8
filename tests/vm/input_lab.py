"""A keyboard, a mouse, and programs that listen to them, for the tests of the input measures. Runs inside the guest.

`python input_lab.py SCENARIO`: does it, and prints what was seen as JSON. The keyboards are uinput's: for the kernel
they are as real as any.
"""

import errno
import fcntl
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlosd.kernel import evdev, input_capabilities, ioctl, uinput
from mlosd.kernel.evdev import EventDevice
from mlosd.kernel.uinput import VirtualKeyboard
from mlosd.mode.keyboard_buffer import VIRTUAL

SECONDS = 2.0
PATIENCE = 20.0
KEYS = range(1, 128)
HELLO = [35, 18, 38, 38, 24]


def node_of(name: str) -> Path:
    """The node of the newest input device of this name."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for directory in sorted(Path("/sys/class/input").glob("input*"), key=lambda d: -int(d.name[5:])):
            node = input_capabilities.event_node(directory)
            if (directory / "name").read_text().strip() == name and node and Path("/dev/input", node).exists():
                return Path("/dev/input", node)
        time.sleep(0.05)
    raise TimeoutError(name)


class Listener:
    """A program that reads a keyboard, as a desktop does."""

    def __init__(self, path: Path) -> None:
        self.device = EventDevice(path)
        self.heard: list[tuple[float, int, int]] = []
        self.dropped = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            select.select([self.device.fd], [], [])
            try:
                events = self.device.read()
            except OSError:
                return
            for event in events:
                if event.type == evdev.EV_KEY:
                    self.heard.append((event.time, event.code, event.value))
                self.dropped |= (event.type, event.code) == (evdev.EV_SYN, evdev.SYN_DROPPED)

    def strokes(self) -> list[tuple[int, int]]:
        return [(code, value) for _, code, value in self.heard]


class Lab:
    """A keyboard, somebody who listens to it, and the typist who takes it."""

    def __init__(self, *, hold: int | None = None, seconds: float = SECONDS) -> None:
        self.keyboard = VirtualKeyboard("lab keyboard", KEYS)
        self.path = node_of("lab keyboard")
        self.others = Listener(self.path)
        if hold:
            self.keyboard.emit(hold, 1)
        self.start(seconds)

    def start(self, seconds: float = SECONDS) -> None:
        self.typist = subprocess.Popen(
            [sys.executable, "-I", "-m", "mlosd.mode.typist", f"--seconds={seconds}", self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={},
        )
        assert self.typist.stdout
        assert (line := self.typist.stdout.readline()) == "ready\n", line
        self.desktop = Listener(node_of(VIRTUAL))

    def is_grabbed(self) -> bool:
        probe = EventDevice(self.path)
        try:
            probe.grab()
        except OSError as e:
            return e.errno == errno.EBUSY
        finally:
            probe.close()
        return False

    def tap(self, *codes: int, pause: float = 0.01) -> None:
        for code in codes:
            for value in (1, 0):
                self.keyboard.emit(code, value)
                time.sleep(pause)

    def end(self, how: Callable[[], Any]) -> str:
        """Do what ends the typist; what it said last."""
        how()
        assert self.typist.stdout
        said = self.typist.stdout.read().strip()
        self.typist.wait(PATIENCE)
        return said


def until(true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(true())


def taps(codes: list[int]) -> list[tuple[int, int]]:
    return [(code, value) for code in codes for value in (1, 0)]


def late() -> dict[str, Any]:
    lab = Lab()
    assert until(lab.is_grabbed)
    codes = HELLO * 40
    began = time.monotonic()
    lab.tap(*codes)
    took = time.monotonic() - began
    until(lambda: len(lab.desktop.heard) >= 2 * len(codes))
    moments = [moment for moment, _, _ in lab.desktop.heard]
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    status = Path(f"/proc/{lab.typist.pid}/status").read_text().split("\n")
    seen = {
        "all in order": lab.desktop.strokes() == taps(codes),
        "others heard": len(lab.others.heard),
        "flushes": 1 + sum(pause > SECONDS / 4 for pause in pauses),
        "typed for": took,
        "waited": moments[-1] - began,
        "locked": next(int(line.split()[1]) for line in status if line.startswith("VmLck")),
    }
    return seen | {"said": lab.end(lab.typist.stdin.close)}  # type: ignore[union-attr]


def killed() -> dict[str, Any]:
    """Killed at many moments, with a key down, in the middle of a flush: nothing stuck, nobody shut out."""
    rounds = []
    lab = Lab()
    for number in range(8):
        assert until(lab.is_grabbed)
        lab.tap(*HELLO * 6, pause=0.002)
        lab.keyboard.emit(evdev.KEY_LEFTSHIFT, 1)
        time.sleep(SECONDS * number / 8)
        lab.typist.kill()
        lab.typist.wait()
        lab.keyboard.emit(evdev.KEY_LEFTSHIFT, 0)
        before = len(lab.others.heard)
        lab.tap(evdev.KEY_A)
        until(lambda before=before: len(lab.others.heard) >= before + 2)  # type: ignore[misc]
        rounds.append(
            lab.others.strokes()[-2:] == taps([evdev.KEY_A])
            and not lab.others.device.keys_down()
            and lab.desktop.strokes() == taps(HELLO * 6)[: len(lab.desktop.heard)]
            and not lab.is_grabbed()
        )
        lab.start()
    lab.end(lab.typist.kill)
    return {"rounds": rounds}


def held() -> dict[str, Any]:
    """A key that is down before the grab: its release must reach those who heard the press."""
    lab = Lab(hold=evdev.KEY_A)
    time.sleep(3.0)
    seen: dict[str, Any] = {"grabbed while down": lab.is_grabbed()}
    lab.keyboard.emit(evdev.KEY_A, 0)
    seen["grabbed when up"] = until(lab.is_grabbed)
    return seen | {"others": lab.others.strokes(), "said": lab.end(lab.typist.stdin.close)}  # type: ignore[union-attr]


def panic() -> dict[str, Any]:
    lab = Lab(seconds=60.0)
    assert until(lab.is_grabbed)
    lab.tap(*HELLO)
    for code in (evdev.KEY_LEFTCTRL, evdev.KEY_LEFTALT):
        lab.keyboard.emit(code, 1)
    began = time.monotonic()
    said = lab.end(lambda: lab.keyboard.emit(evdev.KEY_ESC, 1))
    took = time.monotonic() - began
    for code in (evdev.KEY_ESC, evdev.KEY_LEFTALT, evdev.KEY_LEFTCTRL):
        lab.keyboard.emit(code, 0)
    lab.tap(evdev.KEY_A)
    until(lambda: len(lab.others.heard) >= 2)
    return {
        "said": said,
        "took": took,
        "given on": lab.desktop.strokes() == taps(HELLO),
        "others": lab.others.strokes()[-2:] == taps([evdev.KEY_A]),
        "down": sorted(lab.others.device.keys_down()),
        "grabbed": lab.is_grabbed(),
    }


def released() -> dict[str, Any]:
    """The daemon lets go: what was typed last is not lost."""
    lab = Lab(seconds=60.0)
    assert until(lab.is_grabbed)
    lab.tap(*HELLO)
    assert lab.typist.stdin
    lab.typist.stdin.write("release\n")
    said = lab.end(lab.typist.stdin.flush)
    return {"said": said, "given on": lab.desktop.strokes() == taps(HELLO), "grabbed": lab.is_grabbed()}


def busy() -> dict[str, Any]:
    """Another program has the keyboard: it has nothing to do, and ends."""
    keyboard = VirtualKeyboard("lab keyboard", KEYS)
    owner = EventDevice(node_of("lab keyboard"))
    owner.grab()
    typist = subprocess.Popen(
        [sys.executable, "-I", "-m", "mlosd.mode.typist", "--seconds=1", owner.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert typist.stdout
    said = typist.stdout.read().splitlines()
    keyboard.destroy()
    return {"said": said}


def stopped() -> dict[str, Any]:
    """It cannot flush: the watchdog ends it, and the kernel gives the keyboard back."""
    lab = Lab(seconds=1.0)
    assert until(lab.is_grabbed)
    lab.typist.send_signal(signal.SIGSTOP)
    time.sleep(4.0)
    lab.typist.send_signal(signal.SIGCONT)
    lab.typist.wait(PATIENCE)
    return {"ended by": -lab.typist.returncode, "grabbed": lab.is_grabbed()}


def unplugged() -> dict[str, Any]:
    lab = Lab()
    assert until(lab.is_grabbed)
    return {"said": lab.end(lab.keyboard.destroy).splitlines(), "path": str(lab.path)}


def terminal() -> dict[str, Any]:
    lab = Lab(seconds=60.0)
    assert until(lab.is_grabbed)
    lab.tap(*HELLO)
    said = lab.end(lambda: subprocess.run(["busybox", "chvt", "5"], check=True))
    subprocess.run(["busybox", "chvt", "1"], check=True)
    return {"said": said, "given on": lab.desktop.strokes() == taps(HELLO)}


def mouse() -> None:
    """A mouse that moves ten times a second, until stdin ends; prints how much of it is heard, every second."""
    ui_set_relbit = ioctl.iow("U", 102, 4)
    fd = os.open("/dev/uinput", os.O_RDWR | os.O_CLOEXEC)
    for type_ in (evdev.EV_KEY, evdev.EV_REL):
        fcntl.ioctl(fd, ioctl.iow("U", 100, 4), type_)
    fcntl.ioctl(fd, ioctl.iow("U", 101, 4), evdev.BTN_LEFT)
    fcntl.ioctl(fd, ui_set_relbit, evdev.REL_X)
    fcntl.ioctl(fd, ioctl.iow("U", 3, uinput.SETUP.size), uinput.setup("lab mouse"))
    fcntl.ioctl(fd, ioctl.io("U", 1))
    listener = EventDevice(node_of("lab mouse"))
    while True:
        for _ in range(10):
            os.write(fd, evdev.encode(evdev.EV_REL, evdev.REL_X, 1) + evdev.encode(evdev.EV_SYN, 0, 0))
            time.sleep(0.1)
        heard = sum(event.type == evdev.EV_REL for event in listener.read())
        Path("/run/lab-mouse").write_text(f"{heard}\n")


if __name__ == "__main__":
    seen = globals()[sys.argv[1]]()
    print(json.dumps(seen))
