"""mlosctl status: what the daemon is and how it fares."""

import time

import click

from mlosd.cli import asking, paint, printing
from mlosd.cli.quantity import show_duration
from mlosd.cli.reach import Address


@click.command(epilog="\b\nExamples:\n  mlosctl status\n  mlosctl status --json | jq .jobs")
@asking.as_json
@click.pass_obj
def command(address: Address, *, json: bool) -> None:
    """Show what the daemon is and how it fares."""
    status = address.connect().call("io.mlosd.Daemon.Status", {})
    if json:
        printing.json_line(status)
        return
    jobs = ", ".join(f"{count} {state}" for state, count in status["jobs"].items() if count)
    printing.heading(f"mlosd {status['version']}")
    printing.facts(
        [
            ("pid", str(status["pid"])),
            ("up", show_duration(max(0.0, time.time() - status["since"]))),
            ("state in", status["root"]),
            ("backend", status["backend"]),
            ("jobs", jobs or "none"),
            ("projects", str(status["projects"])),
        ]
    )
    if status["degraded"]:
        printing.heading("Degraded; mlosctl doctor says more", colour=paint.YELLOW)
        printing.points(status["degraded"])
