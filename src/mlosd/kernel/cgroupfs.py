"""Control groups, version 2 (admin-guide/cgroup-v2).

A cgroup is held by a directory fd, so one that was removed and made again under the same name is never mistaken for
the old one: its files then raise OSError (ENODEV or ENOENT). None means "max": no limit.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mlosd.kernel import cgroup_events, psi
from mlosd.kernel.cgroup_events import Events, EventsWatch

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PAGE = 4096
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Account:
    """What the processes of a cgroup have cost so far. None: this kernel, or a controller that is off, cannot tell."""

    cpu_us: int | None = None
    memory_current: int | None = None
    memory_peak: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    cpu_pressure_us: int | None = None
    memory_pressure_us: int | None = None
    io_pressure_us: int | None = None
    oom_kills: int | None = None


class Cgroup:
    """One cgroup directory. Owns `fd`; close it, or use `with`."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def open(cls, path: Path) -> Self:
        return cls(os.open(path, _DIRECTORY))

    @classmethod
    def make(cls, path: Path) -> Self:
        """Make the cgroup and open it. Raises FileExistsError: somebody else's cgroup is never taken over."""
        path.mkdir()
        return cls.open(path)

    def child(self, name: str) -> Self:
        return type(self)(os.open(name, _DIRECTORY, dir_fd=self.fd))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def id(self) -> int:
        """The cgroup id of BPF and PIDFD_GET_INFO: on version 2 it is the inode number of the directory."""
        return os.fstat(self.fd).st_ino

    def path(self) -> Path:
        """Where it is now. The name is for people: hold the cgroup, not its name."""
        return Path(f"/proc/self/fd/{self.fd}").readlink()

    def children(self) -> tuple[str, ...]:
        with os.scandir(self.fd) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False)))

    # --- files ---

    def read(self, knob: str) -> str:
        """The text of one file."""
        fd = os.open(knob, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            chunks = []
            while chunk := os.read(fd, _PAGE):
                chunks.append(chunk)
        finally:
            os.close(fd)
        return b"".join(chunks).decode("ascii", "replace")

    def write(self, knob: str, value: str) -> None:
        """Write one value. One write(2): the kernel parses each write on its own."""
        fd = os.open(knob, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            os.write(fd, value.encode("ascii"))
        finally:
            os.close(fd)

    def size(self, knob: str) -> int | None:
        """A file that holds one number or "max"."""
        text = self.read(knob).strip()
        try:
            return None if text == "max" else int(text)
        except ValueError as e:
            raise ValueError(f"{knob}: neither a number nor max: {text!r}") from e

    def counters(self, knob: str) -> dict[str, int]:
        """A flat keyed file: cpu.stat, memory.events, memory.stat, cgroup.events."""
        try:
            return {key: int(value) for key, value in map(str.split, self.read(knob).splitlines())}
        except ValueError as e:
            raise ValueError(f"{knob}: not a flat keyed file") from e

    # --- controllers ---

    def controllers(self) -> frozenset[str]:
        """What this cgroup may hand to its children."""
        return frozenset(self.read("cgroup.controllers").split())

    def enabled(self) -> frozenset[str]:
        """What its children have."""
        return frozenset(self.read("cgroup.subtree_control").split())

    def enable(self, controllers: Iterable[str]) -> None:
        """Give `controllers` to the children: all, or OSError and none (EBUSY while processes are in this cgroup)."""
        if wanted := sorted(set(controllers)):
            self.write("cgroup.subtree_control", " ".join(f"+{name}" for name in wanted))

    # --- processes ---

    def processes(self) -> tuple[int, ...]:
        """Pids in this cgroup itself, not below it. A pid of another pid namespace reads as 0."""
        return tuple(int(pid) for pid in self.read("cgroup.procs").split())

    def add(self, pid: int) -> None:
        """Move a process in. 0 is the process that writes."""
        self.write("cgroup.procs", str(pid))

    def events(self) -> Events:
        return cgroup_events.parse(self.read("cgroup.events"))

    def watch(self) -> EventsWatch:
        """An fd that becomes readable whenever `events()` changes."""
        return EventsWatch(os.open("cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd))

    def freeze(self) -> None:
        """Ask for a freeze. It is done when `events().frozen` says so."""
        self.write("cgroup.freeze", "1")

    def thaw(self) -> None:
        self.write("cgroup.freeze", "0")

    def kill(self) -> None:
        """SIGKILL to every process here and below, forks in flight and frozen ones included (Linux 5.14)."""
        self.write("cgroup.kill", "1")

    # --- accounting ---

    def cpu_usage_us(self) -> int:
        return self.counters("cpu.stat")["usage_usec"]

    def memory_current(self) -> int | None:
        return self.size("memory.current")

    def memory_peak(self) -> int | None:
        return self.size("memory.peak")

    def memory_high(self) -> int | None:
        return self.size("memory.high")

    def memory_max(self) -> int | None:
        return self.size("memory.max")

    def oom_kills(self) -> int:
        return self.counters("memory.events")["oom_kill"]

    def io_bytes(self) -> tuple[int, int]:
        """Bytes read and written, summed over all devices."""
        read = written = 0
        for line in self.read("io.stat").splitlines():
            # "8:0 rbytes=1 wbytes=2 ..."; a device without statistics prints its number alone.
            values = dict(pair.split("=", 1) for pair in line.split()[1:] if "=" in pair)
            try:
                read += int(values.get("rbytes", "0"))
                written += int(values.get("wbytes", "0"))
            except ValueError as e:
                raise ValueError(f"io.stat: not a line of statistics: {line!r}") from e
        return read, written

    def pressure(self, resource: str) -> psi.Pressure:
        """Pressure on "cpu", "memory" or "io" within this cgroup."""
        return psi.parse(self.read(f"{resource}.pressure"))

    def account(self) -> Account:
        """All of the above that this kernel tells."""
        io = _told(self.io_bytes)
        return Account(
            cpu_us=_told(self.cpu_usage_us),
            memory_current=_told(self.memory_current),
            memory_peak=_told(self.memory_peak),
            read_bytes=io[0] if io else None,
            written_bytes=io[1] if io else None,
            cpu_pressure_us=self._stalled_us("cpu"),
            memory_pressure_us=self._stalled_us("memory"),
            io_pressure_us=self._stalled_us("io"),
            oom_kills=_told(self.oom_kills),
        )

    def _stalled_us(self, resource: str) -> int | None:
        pressure = _told(lambda: self.pressure(resource))
        return pressure.some.total_us if pressure else None


def remove(path: Path) -> None:
    """Remove a cgroup and all below it, deepest first. Raises OSError with EBUSY while one still has processes."""
    with contextlib.suppress(FileNotFoundError):
        for directory, _, _ in os.walk(path, topdown=False):
            os.rmdir(directory)  # noqa: PTH106 - the files in a cgroup directory vanish with it


# ENOENT: the controller is off, or the kernel is older than the file. EOPNOTSUPP: PSI is off.
_NOT_TOLD = {errno.ENOENT, errno.EOPNOTSUPP}


def _told(reader: Callable[[], _T]) -> _T | None:
    try:
        return reader()
    except OSError as e:
        if e.errno in _NOT_TOLD:
            return None
        raise
