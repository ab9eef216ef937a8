"""What an installation asks of the running systemd. Where systemd is not PID 1, nothing is asked and that is said."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from mlosd.core.errors import Refused
from mlosd.setup.place import Say

BOOTED = Path("/run/systemd/system")
GROUP = "mlos-admin"
_UNITS = ("mlosd.socket", "mlosd.service")
_JOBS = "mlos-job*.service"


def is_running() -> bool:
    """Whether systemd is PID 1 (sd_booted(3))."""
    return BOOTED.is_dir()


def activate(prefix: Path, say: Say) -> None:
    """Make group and folders, enable and start the units. Running jobs do not notice a restart of the daemon."""
    _run(("systemd-sysusers", str(prefix / "lib/sysusers.d/mlosd.conf")))
    _run(("systemd-tmpfiles", "--create", str(prefix / "lib/tmpfiles.d/mlosd.conf")))
    _run(("systemctl", "daemon-reload"))
    _run(("systemctl", "enable", "--quiet", *_UNITS))
    # One that failed too often before is not started again without this.
    _run(("systemctl", "reset-failed", *_UNITS))
    _run(("systemctl", "restart", "mlosd.service"))
    say("mlosd.service is enabled and runs")


def running_jobs() -> list[str]:
    """The units of jobs that run now."""
    return [line.split()[0] for line in _run(("systemctl", "list-units", "--plain", "--no-legend", _JOBS)).splitlines()]


def stop_jobs(say: Say) -> None:
    """End every job, each in its grace period."""
    for job in running_jobs():
        say(f"stop {job}")
    _run(("systemctl", "stop", _JOBS))


def deactivate(say: Say) -> None:
    """Stop and disable the units."""
    _run(("systemctl", "disable", "--quiet", "--now", *_UNITS))
    say("mlosd.service is stopped and disabled")


def forget_units() -> None:
    """Have systemd drop what it knows of units that are gone, and stop the slices, which are empty now."""
    _run(("systemctl", "stop", "mlos.slice"))
    _run(("systemctl", "daemon-reload"))


def remove_group(say: Say) -> None:
    """Remove the group that sysusers.d made."""
    if subprocess.run(("getent", "group", GROUP), stdout=subprocess.DEVNULL, check=False).returncode == 0:
        _run(("groupdel", GROUP))
        say(f"removed group {GROUP}")


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        raise Refused(f"{' '.join(argv)}: {reason}", hint="journalctl -u mlosd.service -n 30")
    return done.stdout
