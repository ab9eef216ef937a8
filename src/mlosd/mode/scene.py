"""What a knob looks at when it says what it wants: the machine, and who trains where. Values; reads are the knob's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlosd.kernel.topology import Topology
from mlosd.undo.systemd import Systemd


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as paths: a test shows its own. `pid1` is None where PID 1 is no systemd."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")
    etc: Path = Path("/etc")
    run: Path = Path("/run")
    pid1: Systemd | None = None
    nvml: str = "libnvidia-ml.so.1"

    @property
    def cgroups(self) -> Path:
        """Where the unified hierarchy is mounted when systemd is PID 1."""
        return self.sys / "fs/cgroup"


@dataclass(frozen=True, slots=True)
class Scene:
    """Who trains where.

    `training`: CPUs that are training's own; empty: it shares all of them by weight. `housekeeping`: all others.
    `members`: cgroup paths (below the mount, "/mlos.slice/...") of whoever holds the mode, so that no knob takes from a
    slice that training itself is in. `memory`: bytes that training asked for, None: it said nothing.
    `gpus`: ids of the GPUs that training holds. `slice_`: the slice above all jobs.
    """

    host: Host
    topology: Topology
    training: frozenset[int] = frozenset()
    members: tuple[str, ...] = ()
    memory: int | None = None
    gpus: tuple[str, ...] = ()
    slice_: str = "mlos.slice"

    @property
    def housekeeping(self) -> frozenset[int]:
        """The CPUs that are left to everybody else; all of them where training has none of its own."""
        return frozenset(self.topology.numbers) - self.training

    def holds_training(self, slice_: str) -> bool:
        """Whether somebody who holds the mode runs below this slice."""
        name = f"/{slice_}"
        return any(member == name or member.startswith(f"{name}/") for member in self.members)


Setting = bool | int | float | str | Mapping[str, Any]
