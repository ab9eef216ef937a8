"""The machine that the probes look at: where its kernel interfaces are, and where mlosd would keep its state."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from mlosd.kernel import mountinfo, nvml
from mlosd.kernel.mountinfo import Mount


@dataclass(frozen=True, slots=True)
class Host:
    """`state`: where mlosd keeps its state, there or not. `scratch`: a temporary directory that the doctor removes."""

    state: Path
    scratch: Path
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    run: Path = Path("/run")
    nvml: str = nvml.LIBRARY
    uid: int = field(default_factory=os.geteuid)

    def mounts(self) -> tuple[Mount, ...]:
        return mountinfo.read(self.proc)

    def existing_state(self) -> Path:
        """The state directory, or the nearest of its parents that is there: it is on the same file system."""
        state = self.state.absolute()
        return next(path for path in (state, *state.parents) if path.is_dir()).resolve()

    def trial(self) -> tuple[Path, str]:
        """Where to try what a file system can do, and which one it is: that of the state, if we may write there."""
        existing = self.existing_state()
        directory = existing if os.access(existing, os.W_OK) else self.scratch.resolve()
        mount = mountinfo.of(directory, self.mounts())
        return directory, mount.fstype if mount else "a file system without a name"
