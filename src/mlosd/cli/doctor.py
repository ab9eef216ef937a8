"""mlosctl doctor: mlosd.doctor as a program of its own, because this one must start fast and works without a daemon."""

import os
import sys

import click

from mlosd.cli.reach import Address


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="\b\nExamples:\n  mlosctl doctor\n  mlosctl doctor --json",
)
@click.option("--json", "json", is_flag=True, help="Print JSON.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(address: Address, arguments: tuple[str, ...], *, json: bool) -> None:
    """Say what works on this machine, what does not, and why. Needs no daemon."""
    flags = ["--json"] if json else []
    if address.root:
        flags += ["--root", address.root]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "mlosd.doctor", *flags, *arguments])
