"""Lineage under systemd: what a job's keeper sees of it, as a service of PID 1's."""

import json
from typing import Any

from tests.vm import jobs
from tests.vm.guest import Guest

WRITE = "mkdir -p ml && cd ml && echo 1,2 > in.csv"
READ = "from pathlib import Path; Path('out.txt').write_text(Path('in.csv').read_text() * 2)"


def graph(guest: Guest, job: int, *, user: str = "alice") -> dict[str, Any]:
    """The lineage of a job, when all of it is known."""
    shown: dict[str, Any] = json.loads(guest.run(f"mlosctl lineage job {job} --format json", user=user))
    return shown


def used(found: dict[str, Any], run: int) -> dict[str, list[str]]:
    """What a run used, by the last component of the path."""
    paths = {version["number"]: version["path"].rpartition("/")[2] for version in found["versions"]}
    return {paths[edge["version"]]: edge["modes"] for edge in found["edges"] if edge["run"] == run}


def state(found: dict[str, Any], run: int) -> tuple[str, list[str]]:
    [shown] = [shown for shown in found["runs"] if shown["id"] == run]
    return shown["lineage"], shown["reasons"]


def test_a_job_of_a_plain_user_is_known_by_what_it_read_and_wrote(guest: Guest) -> None:
    guest.run(f"cd && {WRITE} && mlosctl project add . --name lineage", user="alice")
    job = jobs.submit(guest, f'--project lineage -- sh -c "cd ml && python3 -c \\"{READ}\\""')
    assert jobs.done(guest, job)["result"] == "ok"
    found = graph(guest, job)
    assert state(found, job) == ("complete", [])
    assert used(found, job)["in.csv"] == ["read"]
    assert used(found, job)["out.txt"] == ["write"]


def test_the_daemon_may_die_while_a_job_is_observed(guest: Guest) -> None:
    wait = "until test -e /tmp/go; do sleep 0.1; done"
    job = jobs.running(guest, f"-- sh -c 'mkdir -p late; echo 1 > late/before; {wait}; cat late/before > late/after'")
    guest.run("kill -9 $(systemctl show -P MainPID mlosd.service)")
    guest.run("touch /tmp/go")
    guest.eventually("mlosctl status")
    jobs.done(guest, job["id"])
    guest.run("rm /tmp/go")
    found = graph(guest, job["id"])
    assert state(found, job["id"]) == ("complete", [])
    assert used(found, job["id"])["after"] == ["write"]


def test_a_job_that_leaves_its_mount_namespace_is_said_to_be_known_in_part(guest: Guest) -> None:
    job = jobs.submit(guest, "-- unshare -rm cat /etc/hostname")
    jobs.done(guest, job)
    known, reasons = state(graph(guest, job), job)
    assert known == "partial"
    assert "namespace" in reasons[0]


def test_a_stopped_daemon_keeps_nobody_from_opening_a_file(guest: Guest) -> None:
    job = jobs.running(guest, "-- sleep 300")
    guest.run("kill -STOP $(systemctl show -P MainPID mlosd.service)")
    try:
        guest.run("timeout 5 cat /etc/hostname && timeout 5 dd if=/dev/zero of=/var/tmp/x bs=4k count=1 2>/dev/null")
    finally:
        guest.run("kill -CONT $(systemctl show -P MainPID mlosd.service)")
    guest.run(f"mlosctl job cancel {job['id']}", user="alice")
    jobs.done(guest, job["id"])
