"""Interrupt affinity: open each interrupt's mask for writing, and write nothing."""

import os

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict
from mlosd.kernel import irq


def run(host: Host) -> Verdict:
    irqs = irq.read(host.proc)
    if not irqs:
        return Unavailable("/proc/irq lists no interrupts")
    open_to_us = 0
    refusal: OSError | None = None
    for found in irqs:
        try:
            os.close(os.open(host.proc / found.affinity_file, os.O_WRONLY | os.O_CLOEXEC))
            open_to_us += 1
        except OSError as e:
            refusal = e
    if refusal is not None and open_to_us == 0:
        raise refusal
    if refusal is not None:
        return Degraded(f"{open_to_us} of {len(irqs)} interrupts can be moved, the others stay: {refusal.strerror}")
    return Ok(f"{len(irqs)} interrupts open to us (the kernel may still hold on to some, as those of NVMe queues)")


PROBE = Probe(
    name="interrupt affinity",
    group=Feature.MODE,
    purpose="Keeps interrupts that have nothing to do with a training away from its CPUs.",
    used_by=(Feature.MODE,),
    run=run,
)
