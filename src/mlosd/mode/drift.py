"""Notice what others change while the mode is on: by inotify on each file of ours, and by the kernel's own events.

Nothing is polled. A value that was changed is set again; who changes it back too often gets it, and is named.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from mlosd.core import events
from mlosd.core.own_thread import in_own_thread
from mlosd.kernel.cgroupfs import Cgroup
from mlosd.kernel.inotify import CREATE, IGNORED, MODIFY, Inotify
from mlosd.kernel.uevent import Uevents
from mlosd.mode import rivals, slices
from mlosd.mode.machine import Checked
from mlosd.mode.service import ModeService
from mlosd.mode.watched import Fights, files
from mlosd.undo.change import Pending

Key = tuple[str, str]
# Our own write, and a daemon that writes many files, are over within this.
SETTLE_SECONDS = 0.05


class Drift:
    """`yielded`: knob and target -> why it is left to somebody else; added to, and read by the plan."""

    def __init__(
        self,
        service: ModeService,
        *,
        fights: int,
        yielded: dict[Key, str],
        emit: Callable[[events.Event], None],
    ) -> None:
        self._service = service
        self._fights = Fights(fights)
        self._yielded = yielded
        self._emit = emit
        self._inotify: Inotify | None = None
        self._uevents: Uevents | None = None
        self._watches: dict[str, tuple[int, int]] = {}  # file -> watch, descriptor that keeps its inode
        self._keys: dict[int, Key] = {}
        self._slices: dict[Path, int] = {}
        self._changed: set[Key] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin. Where the kernel gives no watches, drift is seen by `verify` only, and that is said."""
        loop = asyncio.get_running_loop()
        try:
            self._inotify = Inotify()
            loop.add_reader(self._inotify.fileno(), self._read)
            self._uevents = Uevents()
            loop.add_reader(self._uevents.fileno(), self._heard)
        except OSError as e:
            self._emit(events.Degraded(f"changes by others are not noticed while ML mode is on: {e.strerror}"))
        self.follow()

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for part in (self._inotify, self._uevents):
            if part is not None:
                loop.remove_reader(part.fileno())
                part.close()
        self._inotify = self._uevents = None
        for _, fd in self._watches.values():
            os.close(fd)
        self._watches.clear()
        if self._timer:
            self._timer.cancel()
        if self._task:
            self._task.cancel()

    def follow(self) -> None:
        """Watch what is ours now, and nothing else."""
        if self._inotify is None:
            return
        if not self._service.wish.is_on:
            self._fights.forget()
            self._yielded.clear()
        self._watch_slices()
        wanted = {
            str(file): pending.key
            for pending in self._service.pending()
            for file in files(pending.kind, pending.target, self._service.machine.host)
        }
        for file in self._watches.keys() - wanted.keys():
            watch, fd = self._watches.pop(file)
            self._keys.pop(watch, None)
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(watch)
            os.close(fd)
        for file in wanted.keys() - self._watches.keys():
            with contextlib.suppress(OSError):  # it went away; the plan says so next time
                # Held open: procfs makes a new inode for a name that nobody holds, and a watch is on the inode.
                fd = os.open(file, os.O_PATH | os.O_CLOEXEC)
                watch = self._inotify.add_file_watch(fd, MODIFY)
                self._watches[file] = watch, fd
                self._keys[watch] = wanted[file]

    def _watch_slices(self) -> None:
        """A slice that begins while the mode is on is to be treated as those that were there before it."""
        assert self._inotify is not None
        host = self._service.machine.host
        is_on = self._service.wish.is_on and host.pid1 is not None
        wanted = {host.cgroups, host.cgroups / slices.ABOVE_JOBS} if is_on else set()
        for folder in self._slices.keys() - wanted:
            with contextlib.suppress(OSError):  # it went away, and its watch with it
                self._inotify.rm_watch(self._slices[folder])
            del self._slices[folder]
        for folder in wanted - self._slices.keys():
            with contextlib.suppress(OSError), Cgroup.open(folder) as cgroup:
                self._slices[folder] = self._inotify.add_watch(cgroup.fd, CREATE)

    def _read(self) -> None:
        assert self._inotify is not None
        for event in self._inotify.read():
            if event.wd in self._keys:
                self._changed.add(self._keys[event.wd])
            elif event.mask & IGNORED:
                self._slices = {folder: watch for folder, watch in self._slices.items() if watch != event.wd}
            elif event.wd in self._slices.values() and event.name.endswith(b".slice"):
                # PID 1 makes the cgroup first and calls the slice active a moment later.
                asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._service.soon)
        if self._changed and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settled)

    def _heard(self) -> None:
        """A CPU came or went: which CPUs train is another question now."""
        assert self._uevents is not None
        if any(event.subsystem == "cpu" for event in self._uevents.read()):
            self._service.machine.changed_shape()
            if self._service.wish.is_on:
                self._service.soon()

    def _settled(self) -> None:
        self._timer = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._changed:
            changed, self._changed = self._changed, set()
            found = await self._service.alone(lambda changed=changed: self._differing(changed))  # type: ignore[misc]
            for one in found:
                await self._answer(one)

    def _differing(self, keys: set[Key]) -> list[Checked]:
        checked = (self._service.machine.check_one(key) for key in keys)
        return [one for one in checked if one is not None and not one.is_ours and one.reason is None]

    async def _answer(self, found: Checked) -> None:
        pending, machine = found.pending, self._service.machine
        who = await in_own_thread(lambda: rivals.of_knob(pending.knob, machine.host))
        reason = await in_own_thread(lambda: machine.pinned(pending.knob, pending.target))
        if reason is None and self._fights.go_on(pending.key):
            self._emit(events.KnobChanged(pending.knob, pending.target, f"{found.now} (by {who})", str(pending.after)))
            with contextlib.suppress(OSError):
                await self._service.alone(lambda: machine.write_again(pending))
            return
        await self._yield(pending, found.now, reason or f"left to {who}, who set it back again and again")

    async def _yield(self, pending: Pending, now: str | None, reason: str) -> None:
        """It is theirs from now on: nothing of it is put back when the mode ends."""
        self._yielded[pending.knob, pending.target] = reason
        self._emit(events.KnobKept(pending.knob, pending.target, str(now), reason))
        await self._service.alone(lambda: self._service.machine.let_go(pending))
        self._service.soon()
