"""Warm files: bring them into the page cache in order, gently, and no further than is good for the machine.

Runs in threads of its own, at idle I/O priority. Knows files and limits, nothing of projects.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlosd.kernel import meminfo, psi
from mlosd.kernel.cachestat import resident
from mlosd.kernel.ioprio import ioprio_idle
from mlosd.kernel.readahead import CHUNK, chunks, read_through
from mlosd.projects.resolve import Resolver, Target

WINDOW = 8 << 20
"""After so much, a thread asks again whether it is good for the machine to go on."""
LOOK_EVERY = 0.25
SAMPLE = 16 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """`budget`: bytes to warm at most; `reserve`: bytes of memory that stay available; `pressure`: per cent of the
    last ten seconds in which somebody waited for memory, beyond which we stop.
    """

    budget: int
    reserve: int
    pressure: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes. `warmed` were read now, `resident` were there; `unread` could not be read."""

    warmed: int = 0
    resident: int = 0
    unread: int = 0

    @property
    def done(self) -> int:
        return self.warmed + self.resident + self.unread


@dataclass(slots=True)
class Warmth:
    """What the threads of one warming share. `stopped`: why they stop before the end, in words."""

    limits: Limits
    told: Callable[[], None]
    proc: Path = Path("/proc")
    progress: Progress = field(default_factory=Progress)
    stopped: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _looked: float = 0.0

    def stop(self, why: str) -> None:
        """Let the threads end after the window that they are at."""
        with self._lock:
            self.stopped = self.stopped or why

    def add(self, *, warmed: int = 0, there: int = 0, unread: int = 0) -> None:
        """Count what became of some bytes."""
        with self._lock:
            was = self.progress
            self.progress = replace(
                was, warmed=was.warmed + warmed, resident=was.resident + there, unread=was.unread + unread
            )
        self.told()

    def may_read(self, size: int) -> bool:
        """Whether so much more is good for the machine; if not, why is remembered."""
        if self.stopped is None and self.progress.warmed + size > self.limits.budget:
            self.stop("the budget is used up")
        now = time.monotonic()
        if self.stopped is None and now - self._looked >= LOOK_EVERY:
            self._looked = now
            if why := too_tight(self.limits, self.proc):
                self.stop(why)
        return self.stopped is None


def too_tight(limits: Limits, proc: Path = Path("/proc")) -> str | None:
    """Why there is no memory to be had for warming now, in words."""
    # A kernel without PSI, or with PSI off.
    with suppress(OSError, ValueError):
        waited = psi.read("memory", proc).some.avg10
        if waited > limits.pressure:
            return f"programs waited for memory {waited:g} % of the time"
    with suppress(OSError, ValueError):
        if meminfo.read(proc).available < limits.reserve:
            return "memory is short"
    return None


def warm(targets: Iterable[Target], resolver: Resolver, warmth: Warmth, *, threads: int) -> None:
    """Warm the files in this order. Returns when all is done or `warmth` says stop; waits for the disk."""
    waiting = deque(targets)
    others = [
        threading.Thread(target=_work, args=(waiting, resolver, warmth), name="warm", daemon=True)
        for _ in range(threads - 1)
    ]
    for thread in others:
        thread.start()
    _work(waiting, resolver, warmth)
    for thread in others:
        thread.join()


def warm_file(fd: int, size: int, warmth: Warmth, buffer: bytearray) -> None:
    """Warm one file, a window at a time. What of it cannot be read is counted."""
    done = 0
    try:
        # Looked at before the first read, which brings more than was asked for.
        windows = [(at, length, _resident(fd, at, length)) for at, length in chunks(0, size, size=WINDOW)]
        for at, length, there in windows:
            missing = length - there
            if missing and not warmth.may_read(missing):
                return
            if missing:
                # What is there already is read as well: the kernel makes large folios only where reading goes on.
                read_through(fd, buffer, offset=at, length=length)
            done += length
            warmth.add(warmed=missing, there=there)
    except OSError:
        warmth.add(unread=size - done)


def _work(waiting: "deque[Target]", resolver: Resolver, warmth: Warmth) -> None:
    with suppress(OSError):
        ioprio_idle()
    buffer = bytearray(CHUNK)
    while warmth.stopped is None:
        try:
            target = waiting.popleft()
        except IndexError:
            break
        try:
            with resolver.opened(target) as fd:
                warm_file(fd, target.size, warmth, buffer)
        except OSError:
            # It went away, or is not to be read, since it was found.
            warmth.add(unread=target.size)


def _resident(fd: int, at: int, length: int) -> int:
    """Bytes of the window that are in memory; none where the kernel does not tell."""
    try:
        return resident(fd, offset=at, length=length)
    except OSError:
        return 0


def rate_of_memory(target: Target, resolver: Resolver) -> float | None:
    """Bytes a second at which a warm file is read; None where that cannot be told."""
    buffer, length = bytearray(CHUNK), min(SAMPLE, target.size)
    try:
        with resolver.opened(target) as fd:
            if _resident(fd, 0, length) != length or not length:
                return None
            began = time.perf_counter()
            read_through(fd, buffer, offset=0, length=length)
            return length / max(time.perf_counter() - began, 1e-9)
    except OSError:
        return None
