"""/dev/cpu_dma_latency (power/pm_qos_interface): open it and close it. Only a written number would ask for anything."""

import os

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict


def run(host: Host) -> Verdict:
    try:
        os.close(os.open(host.dev / "cpu_dma_latency", os.O_WRONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return Unavailable("there is no /dev/cpu_dma_latency: this kernel has no CPU idle states to hold back")
    return Ok("/dev/cpu_dma_latency opens; the kernel itself takes the request back if mlosd dies")


PROBE = Probe(
    name="CPU wake-up latency",
    group=Feature.MODE,
    purpose="Keeps CPUs out of deep sleep while a training runs.",
    used_by=(Feature.MODE,),
    run=run,
)
