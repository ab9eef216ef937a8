"""The opt-in measures for keyboards, pointers and screens: what they want, and of which devices."""

import asyncio
import sys
from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.core.errors import BadRequest, Refused
from mlosd.kernel.topology import Topology
from mlosd.mode import knobs
from mlosd.mode.keyboard_buffer import VIRTUAL
from mlosd.mode.knob import AnyKnob, Cannot, Held, Want, Wish, check
from mlosd.mode.knobs import keyboard_buffer, pointers_off, screen_rate
from mlosd.mode.scene import Host, Scene

KEYBOARD = "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe"
MOUSE = "1f0000 0 0 0 0"
POWER_BUTTON = "10000000000000 0"


def plugged(number: int, name: str, key: str, *, rel: str = "0", sw: str = "0", inhibited: str = "0") -> dict[str, str]:
    at = f"sys/class/input/input{number}"
    return {
        f"{at}/name": f"{name}\n",
        f"{at}/capabilities/key": f"{key}\n",
        f"{at}/capabilities/rel": f"{rel}\n",
        f"{at}/capabilities/sw": f"{sw}\n",
        f"{at}/inhibited": f"{inhibited}\n",
        f"{at}/event{number + 10}/uevent": "",
    }


def scene(root: Path, *devices: dict[str, str]) -> Scene:
    for device in devices:
        materialize(root, device)
    (root / "dev/input").mkdir(parents=True, exist_ok=True)
    (root / "dev/uinput").touch()
    host = Host(sys=root / "sys", proc=root / "proc", dev=root / "dev")
    return Scene(host, Topology(()))


def wishes(scene: Scene) -> list[Wish]:
    return list(pointers_off.KNOB.wishes(True, scene))


def test_all_three_are_found_set_last_and_only_where_asked_for() -> None:
    for name in ("keyboard-buffer", "pointers-off", "screen-rate"):
        knob = knobs.find(name)
        assert (knob.use, knob.stage) == ("opt-in", 100)
        assert "No gain" in knobs.described()[name].manual


@pytest.mark.parametrize(
    ("knob", "good", "bad"),
    [
        (keyboard_buffer.KNOB, [1, 10, 60], [0, 61, -1, True, "10", 1.5]),
        (screen_rate.KNOB, [1, 20, 60], [0, 61, True, "20"]),
        (pointers_off.KNOB, [True], [1, "yes", 0]),
    ],
)
def test_settings_out_of_range_are_refused(knob: AnyKnob, good: list[object], bad: list[object]) -> None:
    for setting in good:
        check(knob, setting)  # type: ignore[arg-type]
    for setting in bad:
        with pytest.raises(BadRequest):
            check(knob, setting)  # type: ignore[arg-type]


def test_every_pointer_is_switched_off_and_nothing_else(tmp_path: Path) -> None:
    here = scene(
        tmp_path,
        plugged(0, "Power Button", POWER_BUTTON),
        plugged(1, "AT Translated Set 2 keyboard", KEYBOARD),
        plugged(5, "Mouse", MOUSE, rel="1943"),
        plugged(12, "Touchpad", "e520 10000 0 0 0 0"),
    )
    target = "{}/sys/class/input/input{}/inhibited"
    assert wishes(here) == [Want("text", target.format(tmp_path, number), "1") for number in (5, 12)]


def test_a_pointer_with_letters_is_left_alone_and_named(tmp_path: Path) -> None:
    here = scene(tmp_path, plugged(3, "Receiver", f"10000 0 0 0 {'f' * 16}", rel="3"))
    (wish,) = wishes(here)
    assert isinstance(wish, Cannot)
    assert wish.reason == "Receiver is a keyboard, too"


def test_a_kernel_without_the_switch_is_said(tmp_path: Path) -> None:
    here = scene(tmp_path, plugged(3, "Mouse", MOUSE))
    (tmp_path / "sys/class/input/input3/inhibited").unlink()
    (wish,) = wishes(here)
    assert isinstance(wish, Cannot)
    assert wish.reason == "this kernel does not have it"


def test_a_device_that_is_unplugged_while_we_look_is_none(tmp_path: Path) -> None:
    here = scene(tmp_path, plugged(3, "Mouse", MOUSE))
    (tmp_path / "sys/class/input/input3/capabilities/rel").unlink()
    (wish,) = wishes(here)
    assert isinstance(wish, Cannot)
    assert "no mouse" in wish.reason


def test_without_any_device_it_says_so(tmp_path: Path) -> None:
    assert [type(wish) for wish in wishes(scene(tmp_path))] == [Cannot]
    assert isinstance(keyboard_buffer.KNOB.look(10, scene(tmp_path)), Cannot)


def test_keyboards_are_those_that_one_can_write_with(tmp_path: Path) -> None:
    here = scene(
        tmp_path,
        plugged(0, "Power Button", POWER_BUTTON),
        plugged(1, "AT Translated Set 2 keyboard", KEYBOARD),
        plugged(2, "Lid with keys", KEYBOARD, sw="1"),
        plugged(3, "Receiver", f"10000 0 0 0 {'f' * 16}", rel="3"),
        plugged(4, VIRTUAL, KEYBOARD),
        plugged(10, "USB Keyboard", KEYBOARD),
    )
    assert keyboard_buffer.KNOB.look(10, here) == Want(
        "lease", "AT Translated Set 2 keyboard, USB Keyboard", "every 10 s"
    )


def test_a_kernel_without_uinput_is_said(tmp_path: Path) -> None:
    here = scene(tmp_path, plugged(1, "Keyboard", KEYBOARD))
    (tmp_path / "dev/uinput").unlink()
    wish = keyboard_buffer.KNOB.look(10, here)
    assert isinstance(wish, Cannot)
    assert "modprobe uinput" in wish.reason


async def taken(here: Scene) -> Held:
    return await keyboard_buffer.KNOB.take(10, here)


def test_keyboards_that_cannot_be_opened_refuse_the_measure(tmp_path: Path) -> None:
    here = scene(tmp_path, plugged(1, "Keyboard", KEYBOARD))
    with pytest.raises(Refused, match="event11: No such file or directory; ended: no keyboard is left"):
        asyncio.run(taken(here))


def test_what_is_no_event_device_refuses_the_measure(tmp_path: Path) -> None:
    here = scene(tmp_path, plugged(1, "Keyboard", KEYBOARD))
    (tmp_path / "dev/input/event11").touch()
    with pytest.raises(Refused, match="event11: Inappropriate ioctl for device"):
        asyncio.run(taken(here))


async def typist(program: str) -> keyboard_buffer.Typist:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=pipe, stdout=pipe)
    return keyboard_buffer.Typist(process)


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("print('panic')", "panic"),
        ("print('skipped /dev/input/event3: unplugged'); print('ended: no keyboard is left')", "ended"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended"),
    ],
)
def test_the_end_of_the_process_is_told_with_what_it_means(program: str, how: str) -> None:
    async def waited() -> str:
        return await (await typist(program)).ended()

    assert asyncio.run(waited()) == how


def test_what_was_skipped_is_known() -> None:
    async def skipped() -> list[str]:
        held = await typist("print('skipped /dev/input/event3: another program has it')")
        await held.ended()
        return held.skipped

    assert asyncio.run(skipped()) == ["/dev/input/event3: another program has it"]


@pytest.mark.parametrize("program", ["input()", "import time; time.sleep(60)", "pass"])
def test_release_ends_the_process_whatever_it_does(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyboard_buffer, "_END_SECONDS", 0.5)

    async def released() -> str:
        held = await typist(program)
        await held.release()
        return await asyncio.wait_for(held.ended(), 0.1)

    assert asyncio.run(released()) == "ended"


def test_the_rate_of_the_screen_is_published_and_nothing_is_held(tmp_path: Path) -> None:
    wish = screen_rate.KNOB.look(20, scene(tmp_path))
    assert isinstance(wish, Want)
    assert "mlosctl mode screen-agent" in wish.target
    assert wish.value == "20 Hz"

    async def taken_and_released() -> None:
        await (await screen_rate.KNOB.take(20, scene(tmp_path))).release()

    asyncio.run(taken_and_released())
