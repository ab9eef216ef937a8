"""Where this machine's cgroup2 tree is mounted, where a process is in it, and the limits its ancestors set."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mlosd.kernel import cpulist
from mlosd.kernel.mountinfo import Mount, visible


@dataclass(frozen=True, slots=True)
class Membership:
    """/proc/PID/cgroup: the path in the cgroup2 tree, and the path of each controller that version 1 holds."""

    path: PurePosixPath | None
    v1: dict[str, str]


def mount_point(mounts: Iterable[Mount]) -> Path | None:
    """Where cgroup2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified where version 1 still holds controllers."""
    found = [mount.target for mount in visible(mounts) if mount.fstype == "cgroup2"]
    # A container engine may mount further ones; the one with the shortest path is the machine's.
    return min(found, key=lambda target: (len(target.parts), target), default=None)


def parse_membership(text: str) -> Membership:
    path: PurePosixPath | None = None
    v1: dict[str, str] = {}
    for line in text.splitlines():
        try:
            number, names, place = line.split(":", 2)
        except ValueError as e:
            raise ValueError(f"not a line of /proc/PID/cgroup: {line!r}") from e
        if number == "0" and not names:
            path = PurePosixPath(place.removesuffix(" (deleted)"))
        else:
            v1.update((name, place) for name in names.split(",") if name and not name.startswith("name="))
    return Membership(path=path, v1=v1)


def membership(pid: int | None = None, proc: Path = Path("/proc")) -> Membership:
    """Where a process is; None is this one."""
    name = "self" if pid is None else str(pid)
    return parse_membership((proc / name / "cgroup").read_text(encoding="utf-8", errors="surrogateescape"))


@dataclass(frozen=True, slots=True)
class CgroupTree:
    """The cgroup2 tree that is mounted at `mount`."""

    mount: Path

    def directory(self, path: PurePosixPath) -> Path:
        """The directory of the cgroup that /proc/PID/cgroup calls `path`."""
        return self.mount / path.relative_to("/")

    def memory_limit(self, path: PurePosixPath) -> int | None:
        """The smallest memory.max of the cgroup and its ancestors, in bytes. None: nobody limits it."""
        limits = (_limit(text) for text in self._climb(path, "memory.max"))
        return min((limit for limit in limits if limit is not None), default=None)

    def cpus(self, path: PurePosixPath) -> tuple[int, ...] | None:
        """cpuset.cpus.effective of the nearest cgroup that has one. None: no cpuset controller up there."""
        texts = self._climb(path, "cpuset.cpus.effective")
        return cpulist.parse(texts[0]) if texts else None

    def _climb(self, path: PurePosixPath, knob: str) -> list[str]:
        """The text of `knob` in `path` and each of its ancestors that has it, from below."""
        texts = []
        for ancestor in (path, *path.parents):
            try:
                texts.append((self.directory(ancestor) / knob).read_text(encoding="ascii"))
            except OSError as e:
                if e.errno not in (errno.ENOENT, errno.ENODEV):
                    raise
        return texts


def _limit(text: str) -> int | None:
    stripped = text.strip()
    try:
        return None if stripped == "max" else int(stripped)
    except ValueError as e:
        raise ValueError(f"memory.max: neither a number nor max: {stripped!r}") from e
