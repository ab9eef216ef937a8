"""mlosctl config: the settings in effect."""

import subprocess
import sys
from json import loads

import click

from mlosd.cli import asking, printing, program, say
from mlosd.cli.reach import Address
from mlosd.cli.table import Column
from mlosd.core.errors import Unreachable


@click.group(cls=program.Verbs)
def command() -> None:
    """Show every setting in effect and where it comes from."""


@command.command(epilog="\b\nExamples:\n  mlosctl config show\n  mlosctl config show --json | jq -r .key")
@asking.as_json
@click.pass_obj
def show(address: Address, *, json: bool) -> int:
    """Show every setting and the file it comes from; without a daemon, those that it would start with."""
    try:
        settings = address.connect().call("io.mlosd.Daemon.Config", {})["settings"]
    except Unreachable:
        say.tell("the daemon does not answer; these are the settings that it would start with")
        found = subprocess.run([sys.executable, "-m", "mlosd.config", "--json"], stdout=subprocess.PIPE, check=False)
        if found.returncode:
            return found.returncode
        settings = [_setting(line) for line in found.stdout.splitlines()]
    if json:
        for setting in settings:
            printing.json_line(setting)
        return 0
    columns = [Column("SETTING"), Column("VALUE", cut=True), Column("FROM", cut=True)]
    printing.rows(columns, [(s["key"], s["value"], s["origin"]) for s in settings])
    return 0


def _setting(line: bytes) -> dict[str, str]:
    """A line of `python -m mlosd.config --json` as the daemon would tell it."""
    setting = loads(line)
    return {"key": setting["key"], "value": str(setting["value"]), "origin": setting["file"]}
