"""A probe: one mechanism of the kernel or of this machine, what mlosd does with it, and how to try it."""

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from types import ModuleType

from mlosd.doctor import probes
from mlosd.doctor.host import Host
from mlosd.doctor.verdict import Unavailable, Verdict

REINSTALL = "build it: pip install --force-reinstall mlosd (it needs a C compiler)"
_EXTENSION = "mlosd._native"


class Feature(StrEnum):
    """What people come to mlosd for. The order is that of the report."""

    JOBS = "jobs"
    LIMITS = "job limits"
    LINEAGE = "lineage"
    DRIFT = "drift"
    GUARD = "guard"
    IDENTITIES = "identities"
    MODE = "ML mode"


@dataclass(frozen=True, slots=True)
class Probe:
    """`purpose`: one sentence for a user. `run` tries the mechanism in a process of its own, for `seconds` at most.

    A feature in `needed_by` does not work without the mechanism; one in `used_by` works with less. `tidy` takes away
    what a probe that was killed has left; it gets the pid of the doctor.
    """

    name: str
    group: Feature
    purpose: str
    run: Callable[[Host], Verdict]
    needed_by: tuple[Feature, ...] = ()
    used_by: tuple[Feature, ...] = ()
    seconds: float = 5.0
    tidy: Callable[[Host, int], None] | None = None

    @property
    def features(self) -> tuple[Feature, ...]:
        return (*self.needed_by, *self.used_by)


def find(host: Host) -> tuple[Probe, ...]:
    """Every probe, in the order of the report: by group, then by module name, then as the module lists them."""
    found: list[Probe] = []
    broken: list[str] = []
    for name in sorted(module.name for module in pkgutil.iter_modules(probes.__path__)):
        try:
            module = import_module(f"{probes.__name__}.{name}")
        except ImportError as e:
            if e.name != _EXTENSION:
                raise
            broken.append(name)
            continue
        found.extend(_of_module(module, host))
    if broken:
        found.append(_extension_missing(broken))
    order = list(Feature)
    return tuple(sorted(found, key=lambda probe: order.index(probe.group)))


def _of_module(module: ModuleType, host: Host) -> Iterable[Probe]:
    if hasattr(module, "PROBE"):
        return (module.PROBE,)
    if hasattr(module, "PROBES"):
        return tuple(module.PROBES)
    return tuple(module.probes(host))


def _extension_missing(broken: list[str]) -> Probe:
    text = f"it is not built, so these were not tried: {', '.join(broken)}"
    return Probe(
        name="C extension",
        group=Feature.JOBS,
        purpose="Makes the system calls that Python lacks.",
        needed_by=(Feature.JOBS, Feature.LINEAGE, Feature.GUARD),
        run=lambda _: Unavailable(text, REINSTALL),
    )
