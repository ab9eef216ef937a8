"""The process connector: fork a child, and hear from the kernel that it was born and died."""

import os
import select
import time

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict


def run(_: Host) -> Verdict:
    # Imported here: pyroute2 takes 0.2 s, and only this child pays for it.
    from mlosd.kernel.proc_connector import Event, Exited, Forked, ProcConnector  # noqa: PLC0415

    try:
        connector = ProcConnector()
    except ConnectionRefusedError:
        return Unavailable("this kernel has no process events (CONFIG_PROC_EVENTS), or hides them from a container")
    with connector:
        child = os.fork()
        if child == 0:
            os._exit(7)
        os.waitpid(child, 0)
        heard: set[type[Event]] = set()
        deadline = time.monotonic() + 2.0
        while heard != {Forked, Exited} and time.monotonic() < deadline:
            if not select.select([connector.fileno()], [], [], 0.1)[0]:
                continue
            for event in connector.read():
                match event:
                    case Forked(child=pid) if pid == child:
                        heard.add(Forked)
                    case Exited(process=pid, status=status) if (pid, status) == (child, 7 << 8):
                        heard.add(Exited)
    if heard != {Forked, Exited}:
        return Unavailable("the kernel accepted a listener, but told nothing of a child that came and went")
    return Ok("heard of a child's birth, and of its death with its exit status")


PROBE = Probe(
    name="process events",
    group=Feature.LINEAGE,
    purpose="Follows the processes a job starts, also those that live for a millisecond.",
    used_by=(Feature.LINEAGE,),
    run=run,
)
