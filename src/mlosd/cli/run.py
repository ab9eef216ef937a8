"""mlosctl run: a command as a job, here and now. quick.py does the same without click when the words are plain."""

from typing import Any

import click

from mlosd.cli import asking, differences, foreground
from mlosd.cli.job import read_id
from mlosd.cli.reach import Address
from mlosd.cli.request import NO_TTY, NO_TTY_HELP, request


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  mlosctl run -- python train.py
  mlosctl run --cpus 4 --memory 16G --time 2h -- python train.py --lr 3e-4
  tar c data | mlosctl run --env data -- zstd > data.tar.zst
  mlosctl run --diff 7 9""",
)
@asking.options
@click.option(NO_TTY, "no_tty", is_flag=True, help=NO_TTY_HELP)
@click.option(
    "--diff",
    nargs=2,
    metavar="A B",
    callback=asking.read_by(read_id),
    shell_complete=asking.jobs,
    help="Run nothing: show in what two jobs differ.",
)
@click.option("--json", "json", is_flag=True, help="With --diff: print one JSON object.")
@asking.command_line
@click.pass_obj
def command(
    address: Address,
    /,
    argv: tuple[str, ...],
    *,
    no_tty: bool,
    diff: tuple[int, int] | None,
    json: bool,
    **values: Any,
) -> int:
    """Run a command as a job, on this terminal.

    It waits in the queue until there is room, then runs in this directory with this environment, on this terminal,
    and mlosctl ends with its exit code (128 + n when signal n ended it). Signals are passed on to it; without a
    terminal of its own, a second Ctrl-C within two seconds cancels it.

    With --diff it runs nothing, but compares two jobs: what was asked, environment, repository, packages, machine, the
    files that they read, and those that they wrote. It ends with 0 when they are the same, and with 1 when they differ.
    """
    if diff:
        if argv:
            raise click.UsageError("--diff compares two jobs and runs no command")
        return differences.between(address, *diff, json=json)
    if json:
        raise click.UsageError("--json goes with --diff")
    job = request(argv, asking.asked(values))
    how = foreground.descriptors if no_tty else foreground.fitting
    return how(address, job)
