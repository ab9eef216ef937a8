"""Whether ML mode should stay while the daemon is away: it comes back, and somebody still trains.

The daemon writes who holds the mode into `leases.json` beside the undo log, each by what the kernel can be asked about:
a pid with its start time, a cgroup, or a time. A daemon that restarts is not the end of training.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, Literal

from mlosd.undo.systemd import Systemd

FILE = "leases.json"
UNIT = "mlosd.service"


def keep(folder: Path, systemd: Systemd, *, after: Literal["stop", "failure"] = "stop") -> str | None:
    """Who keeps the mode up until the daemon is back, in words; None when all is to be put back.

    Asked `after` a "stop" by ExecStopPost= of the daemon, and after a "failure" by the unit that OnFailure= names.
    """
    if not (_comes_back(systemd) if after == "stop" else _is_on_its_way(systemd)):
        return None
    return next((str(lease.get("who", "somebody")) for lease in read(folder) if is_alive(lease)), None)


def read(folder: Path) -> list[dict[str, Any]]:
    """The leases that the daemon wrote down. A file that is gone or damaged has none."""
    try:
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return [lease for lease in document["leases"] if isinstance(lease, dict)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def forget(folder: Path) -> None:
    """Nobody holds the mode any more."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink()


def is_alive(lease: dict[str, Any]) -> bool:
    """Whether what holds this lease is still there. What cannot be asked about counts as gone."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if (until := lease.get("until")) is not None and time.clock_gettime(time.CLOCK_BOOTTIME) >= until:
            return False
        if lease.get("pid"):
            return starttime(lease["pid"]) == int(lease["starttime"])
        if lease.get("cgroup"):
            return "populated 1" in Path(lease["cgroup"], "cgroup.events").read_text(encoding="ascii")
        return until is not None or bool(lease.get("held"))
    return False


def starttime(pid: int) -> int:
    """Field 22 of /proc/PID/stat (proc_pid_stat(5)). Raises OSError when there is no such process."""
    text = Path("/proc", str(pid), "stat").read_bytes()
    # The command name may contain spaces and parentheses; the last ")" ends it.
    return int(text[text.rindex(b")") + 2 :].split()[19])


def _is_on_its_way(systemd: Systemd) -> bool:
    """Whether systemd starts the daemon again although it failed (RestartMode=normal, and before systemd 254)."""
    try:
        return systemd.state(UNIT) in ("activating", "active", "reloading")
    except OSError:
        return False


def _comes_back(systemd: Systemd) -> bool:
    """As ExecStopPost: whether systemd starts the daemon again after this stop (systemd.exec(5), $SERVICE_RESULT)."""
    result = os.environ.get("SERVICE_RESULT")
    if result is None:
        return False
    try:
        number, path = systemd.get(UNIT)["Job"]
        if number:
            return systemd.job_type(path) in ("start", "restart", "try-restart")
    except (OSError, KeyError, TypeError, ValueError):
        return False  # a doubt is no reason to leave the machine changed
    # It failed, and Restart=on-failure. Where that gives up, OnFailure= puts everything back.
    return result != "success"
