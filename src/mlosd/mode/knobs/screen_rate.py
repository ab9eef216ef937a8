"""Screens are refreshed at N Hz (a number: 1 to 60; 20 is what was asked for), in X11 sessions that agreed to it.

A screen belongs to a user's session, and only a program in that session can set it: each user who agrees runs
`mlosctl mode screen-agent` there, e.g. by ~/.config/autostart. This knob does nothing but publish the rate, in the
status of the mode; the agents follow it, and put back mode and rate when the mode ends, when the daemon goes away, and
when they are ended themselves.

It is of use only where the screen hangs on the GPU that trains; what the desktop draws is fewer pictures, and the
video memory is read less often. No gain was ever published: measure it with `mlosctl mode benefit`. Screens go dark
for a moment at each change; few take less than 24 Hz. Wayland has no interface for it.
"""

from mlosd.mode.knob import Held, Hold, Want, Wish, number
from mlosd.mode.scene import Scene, Setting


class Published:
    """Nothing is held: the agents read the status."""

    async def release(self) -> None:
        """The status says so by itself."""


def _look(setting: Setting, scene: Scene) -> Wish:
    return Want("lease", "screens, for user agents: mlosctl mode screen-agent", f"{setting} Hz")


async def _take(setting: Setting, scene: Scene) -> Held:
    return Published()


KNOB = Hold("screen-rate", "opt-in", 100, _look, _take, number(1, 60))
