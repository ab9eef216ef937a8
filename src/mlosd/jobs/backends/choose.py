"""Which backend this machine gets."""

import hashlib
import os
from pathlib import Path

from mlosd.core.errors import Refused
from mlosd.jobs.backend import Backend
from mlosd.jobs.backends.direct import DirectBackend, cgroup_parent
from mlosd.jobs.spec import ENVIRONMENTS

# sd_booted(3): this directory exists exactly where systemd is PID 1.
SYSTEMD = Path("/run/systemd/system")


def choose(setting: str, run: Path, *, is_default: bool, parent: str) -> Backend:
    """The backend that `setting` names; "auto": systemd where it can work, else direct."""
    # Several daemons, each with a root of its own, must not share cgroups or unit names.
    tag = "" if is_default else f"-{hashlib.sha256(os.fsencode(run)).hexdigest()[:8]}"
    possible = SYSTEMD.is_dir() and os.getuid() == 0
    if setting == "systemd" and not possible:
        raise Refused("jobs.backend is systemd, but systemd is not PID 1 or mlosd is not root", hint='use "auto"')
    if possible and setting in ("auto", "systemd"):
        # dbus-fast costs 4 MB: only where it is used.
        from mlosd.jobs.backends.systemd import SystemdBackend  # noqa: PLC0415

        return SystemdBackend(run=run, tag=tag)
    return DirectBackend(run=run, parent=cgroup_parent(parent), name=f"mlos{tag}", environments=ENVIRONMENTS)
