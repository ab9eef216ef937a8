"""Where the daemon keeps things: below /run and /var/lib, or all of it below --root."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """`run` is bound to this boot (sockets, job records); `lib` lasts (database, output)."""

    run: Path
    lib: Path
    is_default: bool

    @property
    def socket(self) -> Path:
        return self.run / "mlosd.sock"

    @property
    def database(self) -> Path:
        return self.lib / "mlosd.db"

    @property
    def jobs(self) -> Path:
        return self.run / "jobs"

    @property
    def output(self) -> Path:
        return self.lib / "output"

    def make(self) -> None:
        """Make the directories: everybody may reach the socket, nobody else the rest."""
        self.run.mkdir(parents=True, exist_ok=True)
        self.run.chmod(0o755)  # whatever our umask is
        self.lib.mkdir(mode=0o700, parents=True, exist_ok=True)


def paths(root: Path | None) -> Paths:
    """The paths of a daemon with this --root, or of the machine's own."""
    if root is None:
        return Paths(Path("/run/mlosd"), Path("/var/lib/mlosd"), is_default=True)
    root = Path(os.path.realpath(root))
    return Paths(root / "run", root / "lib", is_default=False)
