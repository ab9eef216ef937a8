"""/proc/PID (proc_pid_stat(5)): when a process started, which with its pid makes an identity."""

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_STARTTIME = 22


def starttime(pid: int, proc: Path = Path("/proc")) -> int | None:
    """Field 22 of /proc/PID/stat: clock ticks from boot to its start. None when there is no such process."""
    try:
        text = (proc / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name (field 2) may contain spaces and parentheses; the last ")" ends it.
    fields = text[text.rindex(b")") + 2 :].split()
    return int(fields[_STARTTIME - 3])


def age(pid: int) -> float | None:
    """Seconds since a process started, by a clock that nobody can set. None when there is no such process."""
    started = starttime(pid)
    if started is None:
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / _TICKS
