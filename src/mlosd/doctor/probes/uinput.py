"""uinput: open /dev/uinput, and close it again. No device is made."""

import os

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict


def run(host: Host) -> Verdict:
    try:
        os.close(os.open(host.dev / "uinput", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        return Unavailable("there is no /dev/uinput", "modprobe uinput")
    except OSError as e:
        if e.strerror == os.strerror(19):  # ENODEV: the device node is there, the driver is not
            return Unavailable("the driver behind /dev/uinput is not loaded", "modprobe uinput")
        raise
    return Ok("/dev/uinput opens")


PROBE = Probe(
    name="virtual keyboard",
    group=Feature.MODE,
    purpose="Holds keystrokes back for some seconds during a training without losing one, only if you ask for it.",
    used_by=(Feature.MODE,),
    run=run,
)
