"""Notice when whoever holds a lease is gone: a process by its pidfd, a time by a timer. Owns the pidfds."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable

from mlosd.core.errors import NotFound
from mlosd.kernel.pidfd import pidfd_open
from mlosd.kernel.procfs import starttime
from mlosd.mode.lease import Lease


class Holders:
    """One watch for each lease that can end by itself. `ended(lease id, why)` is called once for it."""

    def __init__(self, ended: Callable[[int, str], None]) -> None:
        self._ended = ended
        self._pidfds: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def watch(self, lease: Lease) -> None:
        """Raises NotFound where its process is gone, or its number is another's now."""
        if lease.pid is not None:
            self._watch_process(lease.id, lease.pid, lease.starttime)
        if lease.until is not None:
            left = lease.until - time.clock_gettime(time.CLOCK_BOOTTIME)
            self._timers[lease.id] = asyncio.get_running_loop().call_later(max(0.0, left), self._over, lease)

    def forget(self, id_: int) -> None:
        """Stop watching."""
        if (pidfd := self._pidfds.pop(id_, None)) is not None:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)
        if timer := self._timers.pop(id_, None):
            timer.cancel()

    def close(self) -> None:
        """Stop watching everything."""
        for id_ in {*self._pidfds, *self._timers}:
            self.forget(id_)

    def _watch_process(self, id_: int, pid: int, started: int | None) -> None:
        try:
            pidfd = pidfd_open(pid)
        except ProcessLookupError:
            raise NotFound(f"there is no process {pid}") from None
        # The number may have got another process while we looked: held by the descriptor, its start time tells.
        if started is not None and starttime(pid) != started:
            os.close(pidfd)
            raise NotFound(f"process {pid} is another one now")
        self._pidfds[id_] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._gone, id_, pid)

    def _gone(self, id_: int, pid: int) -> None:
        self.forget(id_)
        self._ended(id_, f"process {pid} ended")

    def _over(self, lease: Lease) -> None:
        # Timers of asyncio count CLOCK_MONOTONIC, which stands still while the machine sleeps.
        assert lease.until is not None
        left = lease.until - time.clock_gettime(time.CLOCK_BOOTTIME)
        if left > 0:
            self._timers[lease.id] = asyncio.get_running_loop().call_later(left, self._over, lease)
            return
        self.forget(lease.id)
        self._ended(lease.id, "its time is over")


def who_is(pid: int) -> tuple[int, int, str, str | None]:
    """A process: its real uid, its start time, its name, its cgroup below the mount. Raises NotFound."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        pidfd = pidfd_open(pid)
        try:
            started = starttime(pid)
            status = _status(pid)
            path = _cgroup(pid)
            if started is not None and started == starttime(pid):
                return int(status["Uid"].split()[0]), started, status["Name"], path
        finally:
            os.close(pidfd)
    raise NotFound(f"there is no process {pid}")


def _status(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as lines:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _cgroup(pid: int) -> str | None:
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as lines:
        return next((line.strip()[3:] for line in lines if line.startswith("0::")), None)
