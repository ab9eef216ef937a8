"""The `inhibited` switch of keyboards and mice: there, and open to us. Nothing is written."""

import os

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel import input_devices


def run(host: Host) -> Verdict:
    devices = input_devices.read(host.sys)
    if not devices:
        return Unavailable("this machine has no keyboard and no mouse (usual for a server)")
    switchable = [device for device in devices if device.inhibited is not None]
    if not switchable:
        return Unavailable("this kernel cannot switch input devices off", "Linux 5.11 and later can")
    for device in switchable:
        os.close(os.open(device.directory / "inhibited", os.O_WRONLY | os.O_CLOEXEC))
    return Ok(f"{len(switchable)} of {len(devices)} input devices can be switched off and on")


PROBE = Probe(
    name="input switch",
    group=Feature.MODE,
    purpose="Serves mouse and keyboard rarely during a training, only if you ask for it.",
    used_by=(Feature.MODE,),
    run=run,
)
