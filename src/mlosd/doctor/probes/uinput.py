"""uinput: open /dev/uinput, and close it again. No device is made."""

import os

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict


def run(host: Host) -> Verdict:
    device = host.dev / "uinput"
    if not device.exists():
        return Unavailable("there is no /dev/uinput", "modprobe uinput")
    if not (host.sys / "class/misc/uinput").exists():
        # Opening the device would load the driver, and the doctor changes nothing.
        return Ok("/dev/uinput is there; its driver is loaded when it is first used")
    os.close(os.open(device, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    return Ok("/dev/uinput opens")


PROBE = Probe(
    name="virtual keyboard",
    group=Feature.MODE,
    purpose="Holds keystrokes back for some seconds during a training without losing one, only if you ask for it.",
    used_by=(Feature.MODE,),
    run=run,
)
