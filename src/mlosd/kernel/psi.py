"""Pressure stall information (accounting/psi): how long tasks waited for CPU, memory or I/O.

A kernel can have PSI and keep it off (CONFIG_PSI_DEFAULT_DISABLED, or psi=0): then /proc/pressure is missing, or
reading raises OSError with EOPNOTSUPP.
"""

import asyncio
import errno
import os
import select
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Stall:
    """Share of the last 10, 60 and 300 seconds in percent, and microseconds since boot (or since the cgroup began)."""

    avg10: float
    avg60: float
    avg300: float
    total_us: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """`some`: at least one task waited. `full`: all of them did; None where the kernel does not tell (CPU, < 5.13)."""

    some: Stall
    full: Stall | None


def parse(text: str) -> Pressure:
    """A pressure file, of the machine or of a cgroup. Malformed text raises ValueError."""
    stalls: dict[str, Stall] = {}
    for line in text.splitlines():
        kind, *pairs = line.split(" ")
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        try:
            stalls[kind] = Stall(
                float(values["avg10"]), float(values["avg60"]), float(values["avg300"]), int(values["total"])
            )
        except (KeyError, ValueError) as e:
            raise ValueError(f"not a line of a pressure file: {line!r}") from e
    if "some" not in stalls:
        raise ValueError(f"a pressure file without a line 'some': {text!r}")
    return Pressure(some=stalls["some"], full=stalls.get("full"))


def read(resource: str, proc: Path = Path("/proc")) -> Pressure:
    """Pressure of the whole machine on "cpu", "memory" or "io"."""
    return parse((proc / "pressure" / resource).read_text(encoding="ascii"))


class Trigger:
    """Waits until tasks stalled longer than a threshold, as "some 100000 2000000": 100 ms within two seconds.

    Without CAP_SYS_RESOURCE the window must be a multiple of two seconds, and that is how often the kernel looks.
    Owns two fds; closing it takes the trigger out of the kernel. The file itself is always readable for epoll; a
    trigger that fires is EPOLLPRI, once (kernel/sched/psi.c, psi_trigger_poll). An epoll fd that waits for EPOLLPRI
    alone is readable exactly then, and that is an fd that asyncio can wait for.
    """

    def __init__(self, fd: int, text: str) -> None:
        """`fd`: a pressure file, opened for reading and writing; it is ours from now on. Raises OSError."""
        self._fd = fd
        self._epoll = select.epoll()
        try:
            # psi_write() puts a NUL over the last byte that it is given.
            os.write(fd, text.encode("ascii") + b"\0")
            self._epoll.register(fd, select.EPOLLPRI)
        except OSError:
            self.close()
            raise

    @classmethod
    def open(cls, file: Path, text: str) -> Self:
        """On "/proc/pressure/cpu", or on "cpu.pressure" of a cgroup. EOPNOTSUPP or ENOENT: PSI is off."""
        return cls(os.open(file, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC), text)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def read(self) -> Pressure:
        """The pressure now. Raises OSError (ENODEV) once the cgroup is gone."""
        return parse(os.pread(self._fd, 4096, 0).decode("ascii"))

    def wait(self, *, seconds: float) -> Pressure:
        """Block until it fires. Raises TimeoutError; OSError (ENODEV) where the cgroup went away."""
        if not self._epoll.poll(seconds):
            raise TimeoutError(errno.ETIMEDOUT, "no such pressure")
        return self.read()

    async def fired(self, *, seconds: float | None = None) -> Pressure:
        """`wait`, for asyncio. None: for as long as it takes."""
        # Looking takes the event away: one that came before must be taken here, or add_reader() would lose it.
        if self._epoll.poll(0):
            return self.read()
        loop = asyncio.get_running_loop()
        happened = asyncio.Event()
        loop.add_reader(self.fileno(), happened.set)
        try:
            async with asyncio.timeout(seconds):
                await happened.wait()
        finally:
            loop.remove_reader(self.fileno())
        return self.read()

    def close(self) -> None:
        self._epoll.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
