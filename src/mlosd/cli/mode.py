"""mlosctl mode: training first, and everything put back."""

import os
import sys
from typing import Any

import click

from mlosd.cli import asking, mode_card, printing, program, say, screen_agent
from mlosd.cli.quantity import duration
from mlosd.cli.reach import Address

Options = dict[str, Any]


@click.group(cls=program.Verbs)
def command() -> None:
    """Put training first on this machine, and everything back afterwards."""


def _asked(function: Any) -> Any:
    """The options that say what a lease asks."""
    for option in reversed(
        (
            click.option("--profile", metavar="P", shell_complete=asking.profiles, help="Which knobs. [training]"),
            click.option("--cpus", metavar="N|LIST|all", help="CPUs for training alone: 4, 2-5, or all (by weight)."),
            click.option("--pid", type=int, metavar="PID", help="Until this process ends."),
            click.option(
                "--until-job", "job", type=int, metavar="ID", shell_complete=asking.jobs, help="Until this job ends."
            ),
            click.option(
                "--for", "seconds", metavar="TIME", callback=asking.read_by(duration), help="For so long: 90s, 2h, 1d."
            ),
            click.option(
                "--set", "set_", multiple=True, metavar="KNOB=VALUE", help="A knob that differs; false leaves it out."
            ),
        )
    ):
        function = option(function)
    return function


@command.command(epilog="\b\nExamples:\n  mlosctl mode status\n  mlosctl mode status --json | jq .state")
@asking.as_json
@click.pass_obj
def status(address: Address, *, json: bool) -> None:
    """Show whether the mode is on, who holds it, and what it changed."""
    mode = address.connect().call("io.mlosd.Mode.Status", {})["mode"]
    printing.json_line(mode) if json else mode_card.card(mode)


@command.command(epilog="\b\nExamples:\n  mlosctl mode plan\n  mlosctl mode plan --profile serving-safe --cpus 4")
@_asked
@click.option("--all", "everything", is_flag=True, help="Also what would not change, and what cannot.")
@asking.as_json
@click.pass_obj
def plan(address: Address, /, *, everything: bool, json: bool, **options: Any) -> None:
    """Show every write that entering would make: old -> new, and what is unavailable and why. Writes nothing."""
    reply = address.connect().call("io.mlosd.Mode.Plan", {"asked": _parameters(options)})
    printing.json_line(reply) if json else mode_card.plan(reply, everything=everything)


@command.command(
    epilog="\b\nExamples:\n  mlosctl mode enter --for 2h\n  mlosctl mode enter --pid $$ --cpus 4\n"
    "  mlosctl mode enter --until-job 7 --set scaling-governor=false"
)
@_asked
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@asking.as_json
@click.pass_context
def enter(ctx: click.Context, /, *, dry_run: bool, json: bool, **options: Any) -> None:
    """Enter the mode. When this returns, the machine is in it; until what ends it, or `mode leave`."""
    if dry_run:
        ctx.invoke(plan, everything=False, json=json, **options)
        return
    address: Address = ctx.obj
    reply = address.connect().call("io.mlosd.Mode.Enter", {"asked": _parameters(options)})
    if json:
        printing.json_line(reply)
        return
    mode_card.entered(reply)


@command.command(epilog="\b\nExamples:\n  mlosctl mode leave\n  mlosctl mode leave 3")
@click.argument("lease", type=int, required=False)
@asking.as_json
@click.pass_obj
def leave(address: Address, lease: int | None, *, json: bool) -> None:
    """Give back a lease, or all of those that you asked for by hand."""
    reply = address.connect().call("io.mlosd.Mode.Leave", {} if lease is None else {"lease": lease})
    if json:
        printing.json_line(reply)
    else:
        mode_card.left(reply)
    if reply["mode"]["state"] == "drained":
        raise SystemExit(os.EX_SOFTWARE)


@command.command(epilog="\b\nExamples:\n  mlosctl mode verify\n  mlosctl mode verify --json")
@asking.as_json
@click.pass_obj
def verify(address: Address, *, json: bool) -> None:
    """Read the kernel again: is everything as it was set, and does it mean what it should? Exits with 1 if not."""
    findings = address.connect().call("io.mlosd.Mode.Verify", {})["findings"]
    if json:
        for finding in findings:
            printing.json_line(finding)
    else:
        mode_card.findings(findings)
    if any(finding["says"] == "differs" for finding in findings):
        raise SystemExit(1)


@command.command(epilog="\b\nExamples:\n  mlosctl mode restore\n  mlosctl mode restore --offline")
@click.option("--offline", is_flag=True, help="Without the daemon, and with nothing but Python's standard library.")
@asking.as_json
@click.pass_obj
def restore(address: Address, *, offline: bool, json: bool) -> None:
    """End every lease and put everything back."""
    if offline:
        _restore_offline(address, json=json)
    reply = address.connect().call("io.mlosd.Mode.Restore", {})
    if json:
        printing.json_line(reply)
    else:
        mode_card.restored(reply)
    if reply["failed"]:
        raise SystemExit(os.EX_SOFTWARE)


def _restore_offline(address: Address, *, json: bool) -> None:
    """As a program of its own: what it needs of mlosd is that one folder."""
    folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), "undo")  # noqa: PTH118, PTH120
    log = os.path.join(address.root, "run", "mode", "undo.log") if address.root else "/run/mlosd/mode/undo.log"  # noqa: PTH118
    sys.stdout.flush()
    flags = ["--json"] if json else []
    os.execv(sys.executable, [sys.executable, "-I", "-S", folder, "--log", log, *flags])


@command.command(epilog="\b\nExamples:\n  mlosctl mode knobs\n  mlosctl mode knobs irq-affinity")
@click.argument("name", required=False)
@asking.as_json
@click.pass_obj
def knobs(address: Address, name: str | None, *, json: bool) -> None:
    """List the knobs, or print the manual of one."""
    every = address.connect().call("io.mlosd.Mode.Knobs", {})["knobs"]
    if name is not None:
        every = mode_card.named(every, name)
    if json:
        for knob in every:
            printing.json_line(knob)
    elif name is not None:
        mode_card.manual(every[0])
    else:
        mode_card.knob_table(every)


@command.command(epilog="\b\nExamples:\n  mlosctl mode profiles\n  mlosctl mode profiles training")
@click.argument("name", required=False)
@asking.as_json
@click.pass_obj
def profiles(address: Address, name: str | None, *, json: bool) -> None:
    """List the profiles, or the settings of one."""
    every = address.connect().call("io.mlosd.Mode.Profiles", {})["profiles"]
    if name is not None:
        every = mode_card.named(every, name)
    if json:
        for profile in every:
            printing.json_line(profile)
    elif name is not None:
        mode_card.profile(every[0])
    else:
        mode_card.profile_table(every)


@command.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="\b\nExamples:\n  mlosctl mode benefit -- python one_epoch.py\n"
    "  mlosctl mode benefit --rounds 10 --profile serving-safe -- make epoch",
)
@click.option("--rounds", type=click.IntRange(2, 1000), default=5, show_default=True, help="Pairs of runs.")
@click.option("--profile", metavar="P", shell_complete=asking.profiles, help="Which knobs. [training]")
@click.option("--cpus", metavar="N|LIST|all", help="CPUs for training alone.")
@click.option("--anyway", is_flag=True, help="Also while others hold the mode: then off is not off.")
@asking.as_json
@asking.command_line
@click.pass_obj
def benefit(address: Address, /, argv: tuple[str, ...], **options: Any) -> None:
    """Run a command with the mode off and on, in turn, and say what it gained; or that it gained nothing."""
    from mlosd.cli import benefit as work

    raise SystemExit(work.run(address, argv, **options))


command.add_command(screen_agent.command)


def _parameters(options: Options) -> dict[str, Any]:
    """What was typed, as the interface wants it."""
    given = {"set": list(options.pop("set_")) or None, **options}
    if (seconds := given.get("seconds")) is not None:
        given["seconds"] = float(seconds)
    asked = {name: value for name, value in given.items() if value is not None}
    if asked.get("job") is None and asked.get("pid") is None and "seconds" not in asked and sys.stderr.isatty():
        say.tell("without --for, --pid or --until-job it stays until: mlosctl mode leave")
    return asked
