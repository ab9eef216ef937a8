"""mlosctl model: models, their versions, and what the aliases of each mean and meant."""

import os
from datetime import datetime
from typing import Any

import click

from mlosd.cli import asking, model_card, printing, program
from mlosd.cli.quantity import show_size
from mlosd.cli.reach import Address
from mlosd.cli.table import Column
from mlosd.core.errors import BadRequest, NotFound


@click.group(cls=program.Verbs)
def command() -> None:
    """Look at models and their versions, move aliases, roll back."""


@command.command("list", epilog="\b\nExamples:\n  mlosctl model list\n  mlosctl model list --project flights")
@click.option("--project", metavar="P", shell_complete=asking.projects, help="Only the models of this project.")
@asking.as_json
@click.pass_obj
def list_(address: Address, *, project: str | None, json: bool) -> None:
    """List the models."""
    asked = {"project": project} if project else {}
    models = address.connect().call("io.mlosd.Models.List", asked)["models"]
    if json:
        for model in models:
            printing.json_line(model)
        return
    columns = [
        Column("MODEL"),
        Column("PROJECT"),
        Column("VERSIONS", align=">"),
        Column("ALIASES", cut=True),
        Column("PATH", cut=True),
    ]
    printing.rows(columns, map(model_card.model_row, models))


@command.command(epilog="\b\nExamples:\n  mlosctl model show flights\n  mlosctl model show flights:production")
@click.argument("model", metavar="MODEL[:VERSION]", shell_complete=asking.models)
@asking.as_json
@click.pass_obj
def show(address: Address, model: str, *, json: bool) -> None:
    """Show a model and its versions, or one version with what its header says.

    MODEL is its name, or project/name. After a colon: a version, by number or by alias.
    """
    name, which = _split(model)
    reply = address.connect().call("io.mlosd.Models.Show", {"model": name})
    if which is None:
        if json:
            printing.json_line(reply)
        else:
            model_card.card(reply["model"], reply["versions"])
        return
    version = _chosen(reply, which)
    if json:
        printing.json_line(version)
    else:
        model_card.version_card(reply["model"], version)


@command.command(
    epilog="\b\nExamples:\n  mlosctl model history flights\n  mlosctl model history flights --at 2026-11-01T12:00"
)
@click.argument("model", shell_complete=asking.models)
@click.option("--at", metavar="TIME", help="What each alias meant then: 2026-11-01T12:00, local time unless it says.")
@asking.as_json
@click.pass_obj
def history(address: Address, model: str, *, at: str | None, json: bool) -> None:
    """Show every move of every alias, or what each meant at a time."""
    asked = {"model": model} | ({"at": _time(at)} if at else {})
    changes = address.connect().call("io.mlosd.Models.History", asked)["changes"]
    if json:
        for change in changes:
            printing.json_line(change)
        return
    columns = [Column("WHEN"), Column("ALIAS"), Column("VERSION", align=">"), Column("BY"), Column("REASON", cut=True)]
    printing.rows(columns, map(model_card.change_row, changes))


@command.command(epilog="\b\nExamples:\n  mlosctl model register best.onnx --name flights")
@click.argument("path", type=click.Path())
@click.option("--name", metavar="N", help="What it is called; by default as its file.")
@click.option("--project", metavar="P", shell_complete=asking.projects, help="The project that it must be in.")
@asking.as_json
@click.pass_obj
def register(address: Address, path: str, *, name: str | None, project: str | None, json: bool) -> None:
    """Keep a file as it is now as a version of a model, also if no job made it."""
    asked = {"path": os.path.abspath(path)}  # noqa: PTH100 (keeps symlinks)
    asked |= {key: value for key, value in (("name", name), ("project", project)) if value}
    reply = address.connect().call("io.mlosd.Models.Register", asked)
    if json:
        printing.json_line(reply)
    else:
        model_card.version_card(reply["model"], reply["version"])


@command.command(
    epilog="\b\nExamples:\n  mlosctl model alias flights:3 production --reason 'better on October'\n"
    "  mlosctl model alias flights staging\n  mlosctl model alias flights staging --remove"
)
@click.argument("model", metavar="MODEL[:VERSION]", shell_complete=asking.models)
@click.argument("alias")
@click.option("--reason", metavar="TEXT", help="Why; it is remembered with the move.")
@click.option("--remove", is_flag=True, help="Take the alias away; what it meant is remembered.")
@asking.as_json
@click.pass_obj
def alias(address: Address, model: str, alias: str, *, reason: str | None, remove: bool, json: bool) -> None:
    """Let ALIAS mean a version from now on, by default the latest.

    MODEL is its name, or project/name. After a colon: a version, by number or by alias.
    """
    name, which = _split(model)
    connection = address.connect()
    if remove:
        if which is not None:
            raise BadRequest("an alias is taken away from a model, not from a version", hint=f"name it {name}")
        number = None
    else:
        reply = connection.call("io.mlosd.Models.Show", {"model": name})
        number = _chosen(reply, which)["number"] if which else reply["model"]["latest"]
    asked = {"model": name, "alias": alias, "number": number, "reason": reason or ""}
    change = connection.call("io.mlosd.Models.Alias", asked)["change"]
    if json:
        printing.json_line(change)
    else:
        print(f"{alias} of {name} means {'nothing' if remove else f'version {number}'} from now on")


@command.command(
    epilog="\b\nExamples:\n  mlosctl model rollback flights --alias production\n  mlosctl model rollback flights:3"
)
@click.argument("model", metavar="MODEL[:VERSION]", shell_complete=asking.models)
@click.option("--alias", "alias", metavar="A", help="The alias that goes back; by default what means the live file.")
@click.option("--reason", metavar="TEXT", help="Why; it is remembered with the move.")
@asking.as_json
@click.pass_obj
def rollback(address: Address, model: str, *, alias: str | None, reason: str | None, json: bool) -> None:
    """Put an earlier version back in its place, in one step; by default the one before.

    What is in place now is stored first. MODEL is its name, or project/name. After a colon: a version, by number or by
    alias.
    """
    name, which = _split(model)
    connection = address.connect()
    asked: dict[str, Any] = {"model": name, "reason": reason or ""} | ({"alias": alias} if alias else {})
    if which is not None:
        asked["number"] = _chosen(connection.call("io.mlosd.Models.Show", {"model": name}), which)["number"]
    reply = connection.call("io.mlosd.Models.Rollback", asked)
    if json:
        printing.json_line(reply)
        return
    version = reply["version"]
    means = f"; {' and '.join(version['aliases'])} means it" if version["aliases"] else ""
    print(f"version {version['number']} of {name} is in {reply['path']} again{means}")


@command.command(epilog="\b\nExamples:\n  mlosctl model gc --dry-run\n  mlosctl model gc flights:3 flights:4")
@click.argument("models", metavar="[MODEL:VERSION]...", nargs=-1, shell_complete=asking.models)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@asking.as_json
@click.pass_obj
def gc(address: Address, models: tuple[str, ...], *, dry_run: bool, json: bool) -> None:
    """Remove stored bytes that nothing needs: versions beyond the policy, or those that are named.

    What an alias means, or meant before, and what is the latest of its model stays.
    """
    connection = address.connect()
    if not models:
        reply = connection.call("io.mlosd.Models.Collect", {"dry_run": dry_run})
        return printing.json_line(reply) if json else model_card.collected(reply, dry_run)
    if dry_run:
        raise BadRequest("what is named is what would be removed", hint="leave out --dry-run, or the names")
    for model in models:
        name, which = _split(model)
        if which is None:
            raise BadRequest(f"{model!r} names no version", hint=f"{model}:3, for its version 3")
        number = _chosen(connection.call("io.mlosd.Models.Show", {"model": name}), which)["number"]
        freed = connection.call("io.mlosd.Models.Remove", {"model": name, "number": number})["bytes"]
        if json:
            printing.json_line({"model": name, "number": number, "bytes": freed})
        else:
            print(f"{name}:{number} removed, {show_size(freed)} free")
    return None


def _split(model: str) -> tuple[str, str | None]:
    """The name of a model and which version is meant: "flights:3"."""
    name, colon, which = model.partition(":")
    if not name or (colon and not which):
        raise BadRequest(f"{model!r} names no model", hint="flights, flights:3, flights:production, project/flights")
    return name, which or None


def _chosen(reply: dict[str, Any], which: str) -> dict[str, Any]:
    model = reply["model"]
    number = int(which) if which.isascii() and which.isdigit() else model["aliases"].get(which)
    for version in reply["versions"]:
        if version["number"] == number:
            found: dict[str, Any] = version
            return found
    raise NotFound(f"{model['name']} has no version {which!r}", hint=f"mlosctl model show {model['name']}")


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadRequest(
            f"--at: {text!r} is not a time", hint="2026-11-01, 2026-11-01T12:00, 2026-11-01T12:00Z"
        ) from None
