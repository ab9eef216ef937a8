"""The moment of the grab, and lost events: no key is stuck for those who heard it go down."""

import time
from dataclasses import dataclass, field
from typing import cast

from mlosd.kernel import evdev
from mlosd.kernel.evdev import Event, EventDevice
from mlosd.mode.grabbed_keyboard import GrabbedKeyboard
from mlosd.mode.keyboard_buffer import KeyboardBuffer, Stroke

A, B = evdev.KEY_A, 48


@dataclass
class Device:
    """An event device as evdev.c behaves; `others` is what everybody else hears. `on_grab`: typed at that moment."""

    down: set[int] = field(default_factory=set)
    queue: list[Event] = field(default_factory=list)
    others: list[tuple[int, int]] = field(default_factory=list)
    grabbed: bool = False
    before_grab: list[tuple[int, int]] = field(default_factory=list)
    after_grab: list[tuple[int, int]] = field(default_factory=list)

    def type(self, code: int, value: int) -> None:
        if (code in self.down) == bool(value):
            return  # the kernel drops what changes nothing
        self.down ^= {code}
        self.queue.append(Event(time.monotonic(), evdev.EV_KEY, code, value))
        if not self.grabbed:
            self.others.append((code, value))

    def keys_down(self) -> frozenset[int]:
        self.queue = [event for event in self.queue if event.type != evdev.EV_KEY]
        return frozenset(self.down)

    def grab(self) -> None:
        for code, value in self.before_grab:
            self.type(code, value)
        self.before_grab = []
        self.grabbed = True

    def ungrab(self) -> None:
        self.grabbed = False

    def read(self) -> list[Event]:
        if self.grabbed:
            for code, value in self.after_grab:
                self.type(code, value)
            self.after_grab = []
        come, self.queue = self.queue, []
        return come

    def inject(self, type_: int, code: int, value: int) -> None:
        assert type_ == evdev.EV_KEY
        self.type(code, value)


def taken(device: Device) -> GrabbedKeyboard:
    return GrabbedKeyboard(0, cast(EventDevice, device))


def strokes(keyboard: GrabbedKeyboard) -> list[Stroke]:
    buffer = KeyboardBuffer(1.0, 0.0)
    keyboard.read_into(buffer)
    return buffer.flush()


def test_an_idle_keyboard_is_grabbed() -> None:
    device = Device()
    keyboard = taken(device)
    assert keyboard.grab_if_idle() == []
    assert (keyboard.is_grabbed, device.grabbed) == (True, True)


def test_a_keyboard_with_a_key_down_is_not() -> None:
    device = Device()
    device.type(A, 1)
    keyboard = taken(device)
    assert keyboard.grab_if_idle() == []
    assert (keyboard.is_grabbed, device.grabbed) == (False, False)
    device.type(A, 0)
    keyboard.grab_if_idle()
    assert keyboard.is_grabbed
    assert device.others == [(A, 1), (A, 0)]


def test_a_key_that_goes_down_just_before_the_grab_comes_up_for_all() -> None:
    device = Device(before_grab=[(A, 1)])
    keyboard = taken(device)
    assert keyboard.grab_if_idle() == []
    assert not keyboard.is_grabbed
    device.type(A, 0)
    assert device.others == [(A, 1), (A, 0)]


def test_a_release_that_only_we_heard_is_repeated_for_those_who_heard_the_press() -> None:
    device = Device(before_grab=[(A, 1)], after_grab=[(A, 0)])
    keyboard = taken(device)
    keyboard.grab_if_idle()
    assert (keyboard.is_grabbed, device.grabbed) == (False, False)
    assert device.others == [(A, 1), (A, 0)]
    assert device.down == set()


def test_strokes_that_only_we_heard_are_given_on() -> None:
    device = Device(after_grab=[(B, 1), (B, 0)])
    assert taken(device).grab_if_idle() == [Stroke(B, True), Stroke(B, False)]
    assert device.others == []


def test_after_dropped_events_the_keys_that_are_down_count() -> None:
    device = Device()
    keyboard = taken(device)
    keyboard.grab_if_idle()
    device.type(A, 1)
    assert strokes(keyboard) == [Stroke(A, True), Stroke(A, False)]
    device.down = {B}
    device.queue = [
        Event(0.0, evdev.EV_SYN, evdev.SYN_DROPPED, 0),
        Event(0.0, evdev.EV_KEY, 99, 1),
        Event(0.0, evdev.EV_SYN, evdev.SYN_REPORT, 0),
    ]
    assert strokes(keyboard) == [Stroke(B, True), Stroke(B, False)]


def test_what_only_we_heard_before_it_is_let_go_of_is_not_lost() -> None:
    device = Device()
    keyboard = taken(device)
    keyboard.grab_if_idle()
    device.type(A, 1)
    device.type(A, 0)
    buffer = KeyboardBuffer(1.0, 0.0)
    keyboard.ungrab(buffer)
    device.type(B, 1)
    keyboard.read_into(buffer)
    assert buffer.flush() == [Stroke(A, True), Stroke(A, False)]
    assert device.others == [(B, 1)]
