"""Mice, touchpads and touch screens are switched off (true), by the kernel's own switch: "Inhibiting input devices".

While ML mode lasts they send nothing: the kernel closes them, which saves the interrupts of a mouse that polls at
1000 Hz, and lets go of buttons that were down. No gain for training was ever published: measure it with
`mlosctl mode benefit`.

Never a device that has a keyboard's keys as well, as some receivers of wireless sets do: you could not leave the mode.
Not those that are plugged in later. One that is unplugged and plugged in again has another number, and is on.

By hand: echo 0 > /sys/class/input/inputN/inhibited. Needs Linux 5.11.
"""

from collections.abc import Iterator

from mlosd.kernel import input_capabilities, input_devices
from mlosd.mode.knob import Cannot, Knob, Want, Wish, switch
from mlosd.mode.scene import Scene, Setting


def _wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    found = False
    for device in input_devices.read(scene.host.sys):
        try:
            can = input_capabilities.read(device.directory)
        except OSError:  # unplugged meanwhile
            continue
        if not can.is_pointer:
            continue
        found = True
        target = str(device.directory / "inhibited")
        if can.has_letters:
            yield Cannot(target, f"{device.name} is a keyboard, too")
        elif device.inhibited is None:
            yield Cannot(target, "this kernel does not have it")
        else:
            yield Want("text", target, "1")
    if not found:
        yield Cannot("pointers", "no mouse, touchpad or touch screen is plugged in")


KNOB = Knob("pointers-off", "opt-in", 100, _wishes, switch)
