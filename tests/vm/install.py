"""Brings mlosd into the guest the way a user does: pip into a virtual environment, then `mlosd-setup install`."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.vm.guest import Guest, GuestGone
from tests.vm.image import REPOSITORY

VENV = "/opt/mlosd"
BEFORE = "/root/before-mlosd"
# Every path that an installation could touch, but for what systemd and the journal write on their own.
SNAPSHOT = (
    "find /usr/local /etc /var/lib /run/mlosd /run/systemd/system /run/systemd/transient "
    "-not -path '*/private/*' -not -name '*-' -not -name '.*' "
    "-not -path '/var/lib/systemd/*' -not -path /run/systemd/transient 2>/dev/null | sort"
)


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout. In a development environment that has the build's own requirements, offline."""
    offline = all(importlib.util.find_spec(name) for name in ("hatchling", "cffi", "setuptools"))
    isolation = ["--no-build-isolation"] if offline else []
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *isolation, "-w", str(folder), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the wheel does not build:\n{done.stdout}{done.stderr}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(guest: Guest, wheel: Path, *, settings: str | None = None) -> None:
    """Install the wheel and the units; mlosd runs afterwards. `settings`: what stands in /etc/mlosd/mlosd.toml."""
    guest.write(f"/tmp/wheels/{wheel.name}", wheel.read_bytes())
    guest.run(f"{VENV}/bin/pip install -q --no-index --find-links /tmp/wheels mlosd", timeout=300)
    guest.run(f"{SNAPSHOT} > {BEFORE}")
    if settings is not None:
        guest.write("/etc/mlosd/mlosd.toml", settings.encode())
    guest.run(f"{VENV}/bin/mlosd-setup install", timeout=120)


def journal(guest: Guest) -> str:
    """What mlosd and its jobs' units said last."""
    try:
        return guest.attempt("journalctl --no-pager -n 80 -o short-monotonic -u mlosd.service -u 'mlos-job-*'").stdout
    except GuestGone as error:
        return str(error)
