"""The sandbox of those who look into files: enter it, and see that it holds."""

import os

from mlosd.content.sandbox import Pace, enter
from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict

_ANOTHER_USER = "another user"


def run(host: Host) -> Verdict:
    layers = enter(Pace.PROMPT)
    # Whoever is not root asks for himself, and has nobody else to become.
    lacking = [layer for layer in layers if layer.lacking and (host.uid == 0 or layer.name != _ANOTHER_USER)]
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        pass
    else:
        return Unavailable("a process that gave up opening files could still open one", _hint())
    if lacking:
        return Degraded("without " + ", ".join(f"{layer.name} ({layer.lacking})" for layer in lacking), _hint())
    return Ok(f"holds in {len(layers)} layers" if host.uid == 0 else "holds")


def _hint() -> str:
    return "Linux 5.13 and later have all of it, with CONFIG_SECURITY_LANDLOCK and CONFIG_SECCOMP_FILTER"


PROBE = Probe(
    name="sandbox for reading files",
    group=Feature.LINEAGE,
    purpose="Looks into models and data that anybody may have written, where nothing can come of it.",
    used_by=(Feature.LINEAGE, Feature.DRIFT),
    run=run,
)
