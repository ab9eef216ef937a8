"""struct input_event, ioctl numbers and bitmaps, as the kernel's headers have them."""

import errno
import os
import struct
import sys
from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.kernel import evdev, input_capabilities, ioctl, uinput
from mlosd.kernel.evdev import Event, EventDevice, InputId

# /proc/bus/input/devices of a laptop: its keyboard, its touchpad, its power button, its lid; and a mouse.
AT_KEYBOARD = "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n"
TOUCHPAD = "e520 10000 0 0 0 0\n"
POWER_BUTTON = "10000000000000 0\n"
MOUSE = "1f0000 0 0 0 0\n"


@pytest.mark.skipif(sys.maxsize < 1 << 32, reason="the numbers are those of 64 bits")
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (ioctl.ior("E", 0x02, 8), 0x80084502),  # EVIOCGID
        (ioctl.ior("E", 0x06, 256), 0x81004506),  # EVIOCGNAME(256)
        (ioctl.ior("E", 0x18, 96), 0x80604518),  # EVIOCGKEY(96)
        (ioctl.ior("E", 0x21, 96), 0x80604521),  # EVIOCGBIT(EV_KEY, 96)
        (ioctl.iow("E", 0x90, 4), 0x40044590),  # EVIOCGRAB
        (ioctl.iow("E", 0xA0, 4), 0x400445A0),  # EVIOCSCLOCKID
        (ioctl.io("U", 1), 0x5501),  # UI_DEV_CREATE
        (ioctl.iow("U", 3, 92), 0x405C5503),  # UI_DEV_SETUP
        (ioctl.iow("U", 101, 4), 0x40045565),  # UI_SET_KEYBIT
    ],
)
def test_ioctl_numbers_are_those_of_the_headers(number: int, expected: int) -> None:
    assert number == expected


def test_structs_have_the_size_that_the_kernel_expects() -> None:
    assert evdev.EVENT.size == 2 * struct.calcsize("l") + 8
    assert uinput.SETUP.size == 92
    assert evdev.INPUT_ID.size == 8


def test_events_come_back_as_they_were_packed() -> None:
    data = evdev.EVENT.pack(12, 250_000, evdev.EV_KEY, evdev.KEY_A, 1) + evdev.encode(evdev.EV_SYN, 0, 0)
    assert evdev.decode(data) == [Event(12.25, evdev.EV_KEY, evdev.KEY_A, 1), Event(0.0, evdev.EV_SYN, 0, 0)]
    assert evdev.decode(b"") == []


def test_a_negative_value_stays_negative() -> None:
    assert evdev.decode(evdev.encode(evdev.EV_REL, evdev.REL_X, -3))[0].value == -3


@pytest.mark.parametrize(
    ("numbers", "size"), [((), 96), ((0,), 4), ((1, 30, 44), 96), ((63, 64, 0x2FF), 96), ((17,), 4)]
)
def test_bits_of_a_bitmap_are_its_numbers(numbers: tuple[int, ...], size: int) -> None:
    bitmap = sum(1 << number for number in numbers).to_bytes(size, sys.byteorder)
    if sys.byteorder == "big" and size > struct.calcsize("l"):
        pytest.skip("the words stand in the other order")
    assert evdev.bits(bitmap) == frozenset(numbers)


def test_the_letters_are_the_three_rows_of_the_keyboard() -> None:
    assert len(evdev.LETTERS) == 26
    assert {evdev.KEY_A, evdev.KEY_Z, 16, 25, 38, 50} <= evdev.LETTERS
    assert not evdev.LETTERS & {evdev.KEY_ENTER, evdev.KEY_LEFTCTRL, evdev.KEY_LEFTSHIFT, 26, 39, 51}


def test_uinput_is_told_a_name_that_fits() -> None:
    bus, *_, name, effects = uinput.SETUP.unpack(uinput.setup("k" * 200))
    assert (bus, name.rstrip(b"\0"), effects) == (evdev.BUS_VIRTUAL, b"k" * 79, 0)


def test_a_file_that_is_no_event_device_is_refused_at_the_first_question(tmp_path: Path) -> None:
    path = tmp_path / "event0"
    path.touch()
    device = EventDevice(path)
    for ask in (device.id, device.name, device.keys_down, device.event_types, device.grab, device.ungrab):
        with pytest.raises(OSError) as refused:
            ask()
        assert refused.value.errno == errno.ENOTTY
    device.close()


def test_a_device_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        EventDevice(tmp_path / "event0")
    with pytest.raises(FileNotFoundError):
        uinput.VirtualKeyboard("k", [evdev.KEY_A], tmp_path / "uinput")
    assert list(tmp_path.iterdir()) == []


def test_uinput_that_refuses_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    (tmp_path / "uinput").touch()
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with pytest.raises(OSError, match="ioctl"):
        uinput.VirtualKeyboard("k", [evdev.KEY_A], tmp_path / "uinput")
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_an_id_is_four_numbers() -> None:
    assert InputId(*evdev.INPUT_ID.unpack(evdev.INPUT_ID.pack(3, 0x46D, 0xC31C, 0x110))) == InputId(
        bustype=3, vendor=0x46D, product=0xC31C, version=0x110
    )


def device(root: Path, key: str, rel: str = "0\n", sw: str = "0\n") -> Path:
    materialize(root, {"capabilities/key": key, "capabilities/rel": rel, "capabilities/sw": sw})
    return root


@pytest.mark.skipif(sys.maxsize < 1 << 32, reason="sysfs prints words of 64 bits")
@pytest.mark.parametrize(
    ("key", "rel", "kinds"),
    [
        pytest.param(AT_KEYBOARD, "0\n", {"keyboard"}, id="keyboard"),
        pytest.param(TOUCHPAD, "0\n", {"pointer"}, id="touchpad"),
        pytest.param(MOUSE, "1943\n", {"pointer"}, id="mouse"),
        pytest.param(POWER_BUTTON, "0\n", set(), id="power button"),
        pytest.param("0\n", "0\n", set(), id="lid"),
        pytest.param("10000 0 0 0 fffffffffffffffe\n", "3\n", {"keyboard", "pointer"}, id="both"),
    ],
)
def test_devices_are_told_apart_by_what_they_can_send(tmp_path: Path, key: str, rel: str, kinds: set[str]) -> None:
    can = input_capabilities.read(device(tmp_path, key, rel))
    assert {name for name in ("keyboard", "pointer") if getattr(can, f"is_{name}")} == kinds
    assert can.has_letters == ("keyboard" in kinds)


def test_a_laptop_keyboard_has_a_power_key() -> None:
    words = [int(word, 16) for word in reversed(AT_KEYBOARD.split())]
    assert words[1] >> (evdev.KEY_POWER - 64) & 1


def test_a_switch_is_seen(tmp_path: Path) -> None:
    assert input_capabilities.read(device(tmp_path, "0\n", sw="1\n")).switches == {0}


def test_a_malformed_bitmap_is_said_and_a_missing_one_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="capabilities/key: not a bitmap: 'x'"):
        input_capabilities.read(device(tmp_path, "x\n"))
    with pytest.raises(FileNotFoundError):
        input_capabilities.read(tmp_path / "input9")


def test_an_empty_bitmap_is_no_key(tmp_path: Path) -> None:
    assert input_capabilities.read(device(tmp_path, "\n")).keys == frozenset()


def test_the_node_below_dev_input_is_the_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "event11").mkdir()
    (tmp_path / "mouse0").mkdir()
    assert input_capabilities.event_node(tmp_path) == "event11"
    assert input_capabilities.event_node(tmp_path / "mouse0") is None
