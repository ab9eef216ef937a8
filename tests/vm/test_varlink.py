"""systemd's own Varlink client speaks with us: another implementation agrees on every word of the wire."""

import json

import pytest
from tests.vm.guest import Guest

SOCKET = "/run/mlosd/mlosd.sock"
INTERFACES = [
    "io.mlosd.Daemon",
    "io.mlosd.Datasets",
    "io.mlosd.Error",
    "io.mlosd.Exchange",
    "io.mlosd.Jobs",
    "io.mlosd.Lineage",
    "io.mlosd.Mode",
    "io.mlosd.Models",
    "io.mlosd.Projects",
    "org.varlink.service",
]


def test_varlinkctl_lists_what_we_speak(guest: Guest) -> None:
    listed = guest.run(f"varlinkctl list-interfaces {SOCKET}", user="alice").split()
    assert sorted(listed) == INTERFACES


@pytest.mark.parametrize("interface", INTERFACES)
def test_varlinkctl_accepts_our_interface(guest: Guest, interface: str) -> None:
    definition = guest.run(f"varlinkctl introspect {SOCKET} {interface}", user="alice")
    assert f"interface {interface}" in definition
    guest.run("varlinkctl validate-idl /dev/stdin", stdin=definition.encode())


def test_varlinkctl_calls_a_method(guest: Guest) -> None:
    status = json.loads(guest.run(f"varlinkctl -j call {SOCKET} io.mlosd.Daemon.Status '{{}}'", user="alice"))
    assert status["backend"] == "systemd"
    assert str(status["pid"]) == guest.run("systemctl show -P MainPID mlosd.service").strip()


def test_varlinkctl_follows_a_job_to_its_end(guest: Guest) -> None:
    job = guest.run("mlosctl job submit --quiet -- sleep 10", user="alice").strip()
    replies = guest.run(f"varlinkctl --more -j call {SOCKET} io.mlosd.Jobs.Wait '{{\"id\": {job}}}'", user="alice")
    assert '"DONE"' in replies.splitlines()[-1]


def test_varlinkctl_hears_our_errors_by_name(guest: Guest) -> None:
    ran = guest.attempt(f"varlinkctl call {SOCKET} io.mlosd.Jobs.Show '{{\"id\": 999999}}'", user="alice")
    assert ran.rc != 0
    assert "io.mlosd.Error.NotFound" in ran.stderr
