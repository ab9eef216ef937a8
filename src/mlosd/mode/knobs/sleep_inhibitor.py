"""The machine neither suspends nor counts as idle while the mode is on (systemd-inhibit(1), org.freedesktop.login1(5)).

A workstation that goes to sleep after an hour without a key pressed stops training in the middle of a step, and a GPU
does not always survive it. "sleep:idle" holds off suspend and the idle action; "sleep:idle:handle-lid-switch" also a
lid that is closed, which a notebook in a bag pays for with heat. Whoever insists can still suspend (`systemctl suspend
--check-inhibitors=no`). Screens are blanked and locked all the same.

Held as a descriptor that logind gave us: it forgets us when that is closed, also when we are killed.
"""

from mlosd.kernel.system_bus import SystemBus
from mlosd.mode.held_fd import HeldFd
from mlosd.mode.knob import Cannot, Hold, Want, Wish, one_of
from mlosd.mode.scene import Scene, Setting

_LOGIND = "org.freedesktop.login1"


def look(setting: Setting, scene: Scene) -> Wish:
    """logind runs (it makes this folder: sd-login(3))."""
    if not (scene.host.run / "systemd/seats").is_dir():
        return Cannot("logind", "it does not run: nothing here suspends the machine by itself")
    return Want("lease", "logind", str(setting))


async def take(setting: Setting, scene: Scene) -> HeldFd:
    """Raises OSError."""
    bus = await SystemBus.connect()
    try:
        path, manager = "/org/freedesktop/login1", f"{_LOGIND}.Manager"
        why = "ML mode: training runs"
        reply = await bus.call(_LOGIND, path, manager, "Inhibit", "ssss", str(setting), "mlosd", why, "block")
    finally:
        bus.close()
    return HeldFd(reply.fds[reply.values[0]])


KNOB = Hold(
    name="sleep-inhibitor",
    use="core",
    stage=10,
    look=look,
    take=take,
    accepts=one_of("sleep", "idle", "sleep:idle", "sleep:idle:handle-lid-switch"),
)
