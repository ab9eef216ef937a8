"""Other programs that set what ML mode sets: tuned, tlp, power-profiles-daemon, irqbalance. Reads only."""

from collections.abc import Iterable

from mlosd.mode import knobs
from mlosd.mode.scene import Host


def active(names: Iterable[str], host: Host) -> list[str]:
    """The units that run now and set the same as one of these knobs, with the knobs."""
    found: dict[str, list[str]] = {}
    for name in names:
        for unit in knobs.find(name).rivals:
            found.setdefault(unit, []).append(name)
    return [f"{unit} sets {', '.join(sorted(of))}, too" for unit, of in sorted(found.items()) if _runs(unit, host)]


def of_knob(name: str, host: Host) -> str:
    """Who it may have been that changed a target of this knob, in words."""
    known = knobs.described().get(name)
    running = [unit for unit in known.knob.rivals if _runs(unit, host)] if known else []
    return " or ".join(running) or "somebody else"


def _runs(unit: str, host: Host) -> bool:
    if host.pid1 is None:
        return False
    try:
        return host.pid1.state(unit) == "active"
    except OSError:
        return False
