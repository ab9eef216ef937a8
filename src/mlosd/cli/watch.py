"""mlosctl watch: what happens, as it happens."""

import click

from mlosd.cli import asking, paint, printing
from mlosd.cli.reach import Address

PREFIX = "MLOSD_"


@click.command(epilog="\b\nExamples:\n  mlosctl watch\n  mlosctl watch --json | jq 'select(.event == \"JobChanged\")'")
@asking.as_json
@click.pass_obj
def command(address: Address, *, json: bool) -> None:
    """Print what happens, as it happens, until Ctrl-C."""
    for reply in address.connect().stream("io.mlosd.Daemon.Watch", {}):
        event = reply["event"]
        if json:
            printing.json_line(event)
            continue
        fields = (f"{name.removeprefix(PREFIX).lower()}={value}" for name, value in event["fields"].items() if value)
        print(printing.moment(event["at"]), paint.visible(f"{event['event']} {' '.join(fields)}"), flush=True)
