"""Keyboards are read every N seconds instead of at each key (a number: 1 to 60; 10 is what was asked for).

While ML mode lasts, a small process of its own has the keyboards (EVIOCGRAB). It keeps what is typed and gives it on
through a virtual keyboard every N seconds, in order, so that no program wakes up for a single key in between. No gain
for training was ever published: measure it with `mlosctl mode benefit`, and do not use it on a machine that somebody
works at.

Ctrl+Alt+Escape, on the keys that are so labelled in an American layout, gives the keyboards back at once and leaves
the mode. Power and sleep keys, SysRq, and Ctrl+Alt+F1 to F12 do not wait, nor does what was typed before them.

What happens when: a key that is held is typed once and not repeated. A flush waits half a second for a moment at which
no key is down. A keyboard is taken when none of its keys is down, so that none gets stuck. When the process dies,
however it dies, the kernel gives the keyboards back, and at most the last N seconds are lost; it dies by itself when
it could not flush for 2 N. A switch of the virtual terminal ends it; locking the screen does not.

Not taken: keyboards of which another program has the grab (keyd, kmonad, input-remapper), those with a lid switch or a
pointer in the same device, and those that are plugged in later. Strokes are in the memory of that process only, locked
against swap (mlockall(2)) and not dumpable. The virtual keyboard has the layout of new keyboards: one that was set for
a single device does not apply to it.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

from mlosd.core.errors import Refused
from mlosd.kernel import input_capabilities, input_devices
from mlosd.mode.keyboard_buffer import VIRTUAL
from mlosd.mode.knob import Cannot, Held, Hold, Want, Wish, number
from mlosd.mode.scene import Host, Scene, Setting

_START_SECONDS = 10.0
_END_SECONDS = 3.0


class Typist:
    """The process (mlosd.mode.typist). Owns it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.skipped: list[str] = []
        self._end = asyncio.get_running_loop().create_task(self._follow())

    async def release(self) -> None:
        """Have it give on what it keeps, and end; the kernel takes the keyboards from it where it does not."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"release\n")
            await self._process.stdin.drain()
        try:
            await asyncio.wait_for(asyncio.shield(self._end), _END_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._end

    async def ended(self) -> str:
        """Wait for its end: "panic" where somebody typed the chord, so that the mode is to be left; else "ended"."""
        return await asyncio.shield(self._end)

    async def _follow(self) -> str:
        assert self._process.stdout
        how = "ended"
        async for line in self._process.stdout:
            if line == b"panic\n":
                how = "panic"
            elif line.startswith(b"skipped "):
                self.skipped.append(line.decode(errors="replace").removeprefix("skipped ").strip())
        await self._process.wait()
        return how


def _keyboards(host: Host) -> Iterator[tuple[str, str]]:
    """The node and the name of each keyboard that can be taken."""
    for device in input_devices.read(host.sys):
        try:
            can = input_capabilities.read(device.directory)
        except OSError:  # unplugged meanwhile
            continue
        node = input_capabilities.event_node(device.directory)
        if node and can.is_keyboard and not can.is_pointer and not can.switches and device.name != VIRTUAL:
            yield str(host.dev / "input" / node), device.name


def _look(setting: Setting, scene: Scene) -> Wish:
    keyboards = list(_keyboards(scene.host))
    if not keyboards:
        return Cannot("keyboards", "no keyboard is plugged in")
    if not (scene.host.dev / "uinput").exists():
        return Cannot(str(scene.host.dev / "uinput"), "this kernel does not have it: modprobe uinput")
    return Want("lease", ", ".join(name for _, name in keyboards), f"every {setting} s")


async def _take(setting: Setting, scene: Scene) -> Held:
    nodes = [node for node, _ in _keyboards(scene.host)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "mlosd.mode.typist",
        f"--seconds={setting}",
        f"--uinput={scene.host.dev / 'uinput'}",
        f"--active-terminal={scene.host.sys / 'class/tty/tty0/active'}",
        *nodes,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in a daemon's terminal is for the daemon
        cwd="/",
        env={},
    )
    assert process.stdout
    said: list[str] = []
    try:
        async with asyncio.timeout(_START_SECONDS):
            async for line in process.stdout:
                said.append(line.decode(errors="replace").strip())
                if line == b"ready\n":
                    typist = Typist(process)
                    typist.skipped += [one.removeprefix("skipped ") for one in said[:-1]]
                    return typist
    except TimeoutError:
        said.append("it does not start")
    except BaseException:
        _kill(process)
        raise
    _kill(process)
    await process.wait()
    raise Refused(f"the keyboards cannot be taken: {'; '.join(said) or 'the process ended at once'}")


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


KNOB = Hold("keyboard-buffer", "opt-in", 100, _look, _take, number(1, 60))
