"""Power profile "performance", held with power-profiles-daemon or tuned-ppd while the mode is on.

Where one of them runs, firmware profile, energy preference and turbo are its to set, and it is asked rather than
overruled: the desktop shows the profile as held, and says by whom. It lets go of the profile by itself when our
connection to the bus ends, also when we are killed, and returns to what the user had chosen. A user who chooses
another profile meanwhile has the last word.

It refuses what the machine does not have: most virtual machines have no "performance". Beside it, platform-profile and
energy-performance are better left out: the daemon would see its own settings changed under it.
"""

from mlosd.kernel.system_bus import SystemBus
from mlosd.mode.knob import Cannot, Hold, Want, Wish, one_of
from mlosd.mode.scene import Scene, Setting

_UNITS = ("power-profiles-daemon.service", "tuned-ppd.service")
# The newer name first; older daemons have the second only.
_NAMES = ("org.freedesktop.UPower.PowerProfiles", "net.hadess.PowerProfiles")


class Held:
    """A held profile. Owns the connection to the bus that it is tied to."""

    def __init__(self, bus: SystemBus, name: str, cookie: int) -> None:
        self._bus = bus
        self._name = name
        self._cookie = cookie

    async def release(self) -> None:
        """Closing the connection would do; this way the daemon knows before it answers that it is over."""
        try:
            await self._bus.call(self._name, _path(self._name), self._name, "ReleaseProfile", "u", self._cookie)
        except OSError:
            pass  # the user chose another one meanwhile, or the daemon is gone: nothing is held
        finally:
            self._bus.close()


def look(setting: Setting, scene: Scene) -> Wish:
    """One of the daemons runs. None is started for us."""
    running = _running(scene)
    if running is None:
        return Cannot("power profile", "neither power-profiles-daemon nor tuned-ppd runs")
    return Want("lease", running, str(setting))


async def take(setting: Setting, scene: Scene) -> Held:
    """Raises OSError."""
    bus = await SystemBus.connect()
    try:
        for name in _NAMES:
            if await bus.has_owner(name):
                reason = "ML mode: training runs"
                reply = await bus.call(name, _path(name), name, "HoldProfile", "sss", str(setting), reason, "mlosd")
                return Held(bus, name, reply.values[0])
        raise ProcessLookupError(3, "nobody on the bus holds power profiles")
    except BaseException:
        bus.close()
        raise


def _running(scene: Scene) -> str | None:
    if scene.host.pid1 is None:
        return None
    for unit in _UNITS:
        try:
            if scene.host.pid1.state(unit) == "active":
                return unit
        except OSError:
            continue
    return None


def _path(name: str) -> str:
    return "/" + name.replace(".", "/")


KNOB = Hold(
    name="power-profile",
    use="optional",
    # Before the governor: a profile may restrict which there are.
    stage=11,
    look=look,
    take=take,
    accepts=one_of("performance", "balanced"),
)
