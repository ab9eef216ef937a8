"""`mlosctl run`: a job on the caller's own terminal or descriptors, until it is done."""

import contextlib
import os
import select
import time
from signal import Signals as Signal
from typing import Any

from mlosd.cli import outcome, say
from mlosd.cli.follow import Follower, Lost, states
from mlosd.cli.reach import Address
from mlosd.cli.signals import Signals
from mlosd.cli.stdio import Descriptors, in_foreground
from mlosd.cli.terminal import Terminal
from mlosd.client import Connection
from mlosd.core.errors import MlosError, NotFound, Refused, Unreachable

FATAL = (Signal.SIGINT, Signal.SIGTERM, Signal.SIGHUP, Signal.SIGQUIT)
PASSED_ON = (*FATAL, Signal.SIGUSR1, Signal.SIGUSR2, Signal.SIGWINCH, Signal.SIGCONT)
AGAIN_SECONDS = 2.0
NOTICE_SECONDS = 0.3
WAITING = ("HELD", "QUEUED")


def fitting(address: Address, job: dict[str, object]) -> int:
    """Run the job on a terminal of its own when there is one here to show it on, else on these descriptors."""
    if os.isatty(0) and os.isatty(1) and in_foreground():
        return Attendance(address, job, Terminal()).attend()
    return descriptors(address, job)


def descriptors(address: Address, job: dict[str, object]) -> int:
    """Run the job on this process's own descriptors."""
    return Attendance(address, job, Descriptors()).attend()


class Attendance:
    """Staying with one job: its states, the signals meant for it, its terminal. Must not own: what a signal does."""

    def __init__(self, address: Address, job: dict[str, object], stdio: Terminal | Descriptors) -> None:
        self._address, self._request, self._stdio = address, job, stdio
        self._job: dict[str, Any] | None = None
        self._control: Connection | None = None
        self._notice_at: float | None = None
        self._early: list[Signal] = []
        self._interrupted_at = -AGAIN_SECONDS
        self._cancels = 0
        self._away = False

    def attend(self) -> int:
        """Run it; its exit code, or 130 when the person left."""
        with Signals((*PASSED_ON, Signal.SIGTSTP)) as signals, self._stdio:
            follower = Follower(states(self._address, self._start))
            while self._job is None or self._job["state"] != outcome.DONE:
                for fd, events in self._poll(follower.fd, signals.fd):
                    if fd == follower.fd:
                        for item in follower.take():
                            self._see(item)
                    elif fd == signals.fd:
                        for number in signals.take():
                            self._receive(number, signals)
                    else:
                        self._stdio.ready(fd, events)
                self._notice()
            self._stdio.finish()
        if outcome.worth_saying(self._job):
            say.tell(f"job {self._job['id']}: {outcome.words(self._job)}")
        return outcome.exit_code(self._job)

    def _start(self) -> Any:
        stdin, stdout, stderr = range(3)
        fds = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "terminal": self._stdio.terminal}
        return self._address.connect().call_with_fds(
            "io.mlosd.Jobs.Run", {"job": self._request, **fds}, fds=self._stdio.fds
        )

    def _poll(self, *fds: int) -> list[tuple[int, int]]:
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        for fd, events in self._stdio.interests():
            poll.register(fd, events)
        left = None if self._notice_at is None else max(0.0, self._notice_at - time.monotonic()) * 1000
        return poll.poll(left)

    def _see(self, item: dict[str, Any] | Lost) -> None:
        """A new state, or the loss of whoever tells it."""
        if isinstance(item, Lost):
            if not self._away:
                say.tell(f"the daemon went away; job {item.job} goes on, and so does this terminal")
            self._away, self._control = True, None
            return
        first = self._job is None
        self._job, self._away = item["job"], False
        if first:
            for warning in item.get("warnings", ()):
                say.tell(f"warning: {warning}")
            self._notice_at = time.monotonic() + NOTICE_SECONDS
        if self._job["state"] not in WAITING:
            self._notice_at = None
        if self._job["state"] in {"RUNNING", "FROZEN"}:
            self._stdio.begin()
        if first:
            for number in self._early:
                self._send(number)

    def _notice(self) -> None:
        """Say why nothing happens yet, once."""
        if self._notice_at is not None and time.monotonic() >= self._notice_at and self._job is not None:
            self._notice_at = None
            say.tell(outcome.waiting(self._job["id"], self._job.get("reason")))

    def _receive(self, number: Signal, signals: Signals) -> None:
        """A signal to this process is meant for the job."""
        match number:
            case Signal.SIGTSTP:
                self._send(Signal.SIGSTOP)
                self._stdio.suspend()
                signals.stop_here()
                self._go_on()
            case Signal.SIGCONT:
                self._go_on()
            case Signal.SIGWINCH:
                self._stdio.resized()
                if not self._stdio.terminal:
                    self._send(number)
            case Signal.SIGINT:
                self._interrupt()
            case _:
                self._send(number)

    def _go_on(self) -> None:
        if self._job is not None and self._job["state"] not in WAITING:
            self._stdio.begin()
            self._send(Signal.SIGCONT)

    def _interrupt(self) -> None:
        """Ctrl-C: for the job. Again within two seconds: cancel it; once more: at once; and once more: leave."""
        now, before = time.monotonic(), self._interrupted_at
        self._interrupted_at = now
        if self._cancels > 1 or (self._job is None and before > 0):
            raise KeyboardInterrupt
        if self._cancels or now - before < AGAIN_SECONDS:
            self._cancel()
        else:
            self._send(Signal.SIGINT)

    def _send(self, number: Signal) -> None:
        """Send it to the job; what would end a job that has not begun cancels it."""
        if self._job is None:
            self._early.append(number)
            return
        try:
            self._ask("Signal", {"id": self._job["id"], "signal": int(number)}, f"get {number.name}")
        except (NotFound, Refused):
            if number in FATAL:
                self._cancel()

    def _cancel(self) -> None:
        if self._job is not None:
            self._cancels += 1
            # It may have ended by itself; then the next state says so.
            with contextlib.suppress(NotFound, Refused):
                self._ask("Cancel", {"id": self._job["id"]}, "stop")

    def _ask(self, method: str, parameters: dict[str, Any], what: str) -> None:
        """Call over a connection of its own: the first one is busy with the states."""
        try:
            if self._control is None:
                self._control = self._address.connect()
            self._control.call(f"io.mlosd.Jobs.{method}", parameters)
        except Unreachable:
            self._control = None
            say.tell(f"the daemon is away; job {parameters['id']} did not {what}")
        except (NotFound, Refused):
            raise
        except MlosError as error:
            say.failed(error.message, error.hint)
