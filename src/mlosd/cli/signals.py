"""Signals as something to poll(2) for, so that they are answered between two steps and never within one."""

import os
import signal
from types import FrameType, TracebackType


class Signals:
    """While entered, the signals `numbers` do nothing but make `fd` readable."""

    def __init__(self, numbers: tuple[signal.Signals, ...]) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._numbers = numbers

    def __enter__(self) -> "Signals":
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _noted) for number in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self.fd)
        os.close(self._write)

    def take(self) -> list[signal.Signals]:
        """The signals that came since last time."""
        try:
            return [signal.Signals(number) for number in os.read(self.fd, 64)]
        except BlockingIOError:
            return []

    def stop_here(self) -> None:
        """Stop this process as SIGTSTP does by default; returns when somebody continues it."""
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, _noted)


def _noted(number: int, frame: FrameType | None) -> None:
    """Nothing: the number is in the pipe already (signal.set_wakeup_fd)."""
