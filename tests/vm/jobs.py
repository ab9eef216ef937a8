"""Jobs in the guest, by way of mlosctl as a user types it."""

import json
from typing import Any

from tests.vm.guest import Guest


def submit(guest: Guest, words: str, *, user: str = "alice") -> int:
    """Queue a job: options, `--`, command, as one line of shell; its id."""
    return int(json.loads(guest.run(f"cd ~{user} && mlosctl job submit --json {words}", user=user))["id"])


def show(guest: Guest, job: int) -> dict[str, Any]:
    """All that mlosd knows of a job."""
    shown: dict[str, Any] = json.loads(guest.run(f"mlosctl job show --json {job}"))
    return shown


def running(guest: Guest, words: str, *, user: str = "alice") -> dict[str, Any]:
    """Queue a job and wait until it runs."""
    job = submit(guest, words, user=user)
    guest.eventually(f'mlosctl job show --json {job} | grep -q \'"state": "RUNNING"\'')
    return show(guest, job)


def done(guest: Guest, job: int) -> dict[str, Any]:
    """Wait until a job is done."""
    guest.attempt(f"mlosctl job wait {job}", timeout=120)
    ended = show(guest, job)
    assert ended["state"] == "DONE"
    return ended


def unit_property(guest: Guest, job: int, name: str) -> str:
    """A property of the job's unit, as systemctl shows it."""
    return guest.run(f"systemctl show -P {name} mlos-job-{job}.service").strip()


def assert_nothing_left(guest: Guest, job: int) -> None:
    """Neither unit nor cgroup nor record of a job that is done."""
    guest.eventually(
        f"! test -e /run/mlosd/jobs/{job} && "
        f"test $(systemctl show -P LoadState mlos-job-{job}.service) = not-found && "
        f"! find /sys/fs/cgroup/mlos.slice -name mlos-job-{job}.service | grep ."
    )
