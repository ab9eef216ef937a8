"""Timers that start maintenance are stopped while the mode is on, and started again after it.

Updates of packages, of the manual's index and of locate's, trimming and scrubbing of disks: each takes a disk or some
CPUs for minutes, and always at night, when long trainings run. Only timers are stopped that are active now; work that
has begun already goes on to its end (a half-done package update is worse than a slow step). After the mode, a timer
with Persistent= makes up for what it missed, at once.

true stops those of the usual list that this machine has; {units = ["backup.timer"]} stops these instead. Only timers
and paths can be named: a service that somebody relies on is not stopped by a profile. It costs security updates that
come later: a mode that is on for weeks should leave apt-daily.timer alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mlosd.mode import slices
from mlosd.mode.knob import Cannot, Knob, Want, Wish
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.systemd import Systemd

USUAL = (
    "anacron.timer",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "btrfs-balance.timer",
    "btrfs-scrub.timer",
    "dnf-automatic.timer",
    "dnf-makecache.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "fwupd-refresh.timer",
    "logrotate.timer",
    "man-db.timer",
    "mdcheck_continue.timer",
    "mdcheck_start.timer",
    "mlocate.timer",
    "mlocate-updatedb.timer",
    "motd-news.timer",
    "plocate-updatedb.timer",
    "raid-check.timer",
    "snapd.snap-repair.timer",
    "unattended-upgrades.timer",
    "update-notifier-download.timer",
    "updatedb.timer",
    "xfs_scrub_all.timer",
)


def accepts(setting: Setting) -> None:
    """Accepts true, and a table with a list of units."""
    if setting is True:
        return
    if not isinstance(setting, Mapping) or set(setting) != {"units"} or not _are_timers(setting["units"]):
        raise ValueError('true, or {units = ["backup.timer", ...]}: timers and paths only')


def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
    """None of them fires. What this machine does not have is not spoken of; what a profile names is."""
    pid1 = scene.host.pid1
    named = setting["units"] if isinstance(setting, Mapping) else None
    if pid1 is None:
        yield Cannot("timers", slices.NO_SYSTEMD)
        return
    for unit in USUAL if named is None else named:
        if _is_loaded(unit, pid1):
            # Also wanted where it is so already: what we stopped before must stay wanted.
            yield Want("unit-state", unit, "inactive")
        elif named is not None:
            yield Cannot(unit, "there is no such unit")


def _is_loaded(unit: str, pid1: Systemd) -> bool:
    try:
        return pid1.state(unit, "LoadState") == "loaded"
    except OSError:
        return False


def _are_timers(units: Any) -> bool:
    return isinstance(units, list) and all(
        isinstance(unit, str) and unit.endswith((".timer", ".path")) and "/" not in unit for unit in units
    )


KNOB = Knob(
    name="postpone-maintenance",
    use="optional",
    stage=90,
    wishes=wishes,
    accepts=accepts,
    through="systemd",
)
