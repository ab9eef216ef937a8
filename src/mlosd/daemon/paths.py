"""Where the daemon keeps things: below /run and /var/lib, or all of it below --root."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mlosd.core.errors import Refused


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
    def snapshots(self) -> Path:
        return self.run / "snapshots"

    @property
    def output(self) -> Path:
        return self.lib / "output"

    @property
    def models(self) -> Path:
        return self.lib / "models"

    @property
    def traces(self) -> Path:
        return self.lib / "traces"

    @property
    def manifests(self) -> Path:
        return self.lib / "manifests"

    def inodes(self) -> frozenset[tuple[int, int]]:
        """(device, inode) of what is made below: whoever watches files must not watch these."""
        return frozenset((status.st_dev, status.st_ino) for status in (self.run.stat(), self.lib.stat()))

    def make(self) -> None:
        """Make the directories: everybody may reach the socket, nobody else the rest.

        Raises Refused, before anything is touched, where another user could put links in the way of what we write.
        """
        if not self.is_default:
            _refuse_anothers(self.run.parent, sticky=stat.S_ISVTX)  # nobody can take there what is ours
        for directory in (self.run, self.lib, self.jobs, self.output, self.traces):
            _refuse_anothers(directory)
        self.run.mkdir(parents=True, exist_ok=True)
        self.run.chmod(0o755)  # whatever our umask is
        self.lib.mkdir(parents=True, exist_ok=True)
        self.lib.chmod(0o700)  # also one that an administrator made: environments of jobs are in it
        self.traces.mkdir(mode=0o700, exist_ok=True)


def paths(root: Path | None) -> Paths:
    """The paths of a daemon with this --root, or of the machine's own."""
    if root is None:
        return Paths(Path("/run/mlosd"), Path("/var/lib/mlosd"), is_default=True)
    root = Path(os.path.realpath(root))
    if os.fsencode(root).decode(errors="replace") != os.fspath(root):
        raise Refused(f"{os.fsencode(root)!r} is not UTF-8, as SQLite wants it", hint="use another --root")
    return Paths(root / "run", root / "lib", is_default=False)


def _refuse_anothers(directory: Path, *, sticky: int = 0) -> None:
    """Refuse what another user owns or can write, unless it has the bit `sticky`."""
    try:
        found = (directory.lstat(), directory.stat())  # of a symbolic link, who made it counts too
    except FileNotFoundError:
        return
    if any(status.st_uid not in (0, os.geteuid()) for status in found):
        raise Refused(f"{directory} belongs to another user", hint=f"chown it to {os.geteuid()}, or use another --root")
    if _others_may_write(found[-1]) and not found[-1].st_mode & sticky:
        raise Refused(f"{directory} can be written by others", hint="chmod go-w it, or use another --root")


def _others_may_write(status: os.stat_result) -> bool:
    # Many users have a group of their own, and a umask that trusts it.
    others = stat.S_IWOTH if status.st_gid == os.getegid() else stat.S_IWOTH | stat.S_IWGRP
    return bool(status.st_mode & others)
