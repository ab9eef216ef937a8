"""mlosctl lineage: what something was made from, and what was made of it."""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from mlosd.cli import asking, lineage_formats, printing, program
from mlosd.cli.lineage_graph import Graph
from mlosd.cli.reach import Address

LINEAGE = "io.mlosd.Lineage"
ROLES = ("code", "component", "config", "dataset", "library", "model", "temporary")

Function = TypeVar("Function", bound=Callable[..., Any])


@click.group(cls=program.Verbs)
def command() -> None:
    """Show what something was made from, and what was made of it.

    Jobs are watched by the kernel: what they read, wrote and executed is known without a change to any script. Where
    something may be missing, the job's line says so.
    """


def options(function: Function) -> Function:
    """The options that all of the verbs have."""
    more = (
        click.option("--up", is_flag=True, help="Only what it was made from."),
        click.option("--down", is_flag=True, help="Only what was made of it."),
        click.option("--depth", type=click.IntRange(min=1), metavar="N", help="At most N jobs far."),
        click.option(
            "--limit", type=click.IntRange(min=1), metavar="N", help="At most N jobs and files. [default: 2000]"
        ),
        click.option("--libraries", is_flag=True, help="Also libraries, and other files that are nobody's own work."),
        click.option(
            "--format",
            "format_",
            type=click.Choice(lineage_formats.names()),
            default="tree",
            show_default=True,
            help="dot: Graphviz. openlineage: RunEvents, one a line. prov: W3C PROV-JSON. json: all that mlosd says.",
        ),
        asking.as_json,
        click.pass_obj,
    )
    for option in reversed(more):
        function = option(function)
    return function


in_project = click.option(
    "--project", metavar="P", shell_complete=asking.projects, help="The project that has it, where several do."
)


@command.command(
    epilog="\b\nExamples:\n  mlosctl lineage job 7\n  mlosctl lineage job 7 --up --format dot | dot -Tsvg > 7.svg"
)
@click.argument("id_", metavar="ID", shell_complete=asking.jobs)
@options
def job(address: Address, /, id_: str, **how: Any) -> None:
    """Show what a job read and wrote, and where that came from and went."""
    _show(address, {"kind": "job", "name": id_}, **how)


@command.command(
    epilog="\b\nExamples:\n  mlosctl lineage model flights\n  mlosctl lineage model flights:production --up\n"
    "  mlosctl lineage model vision/flights:3 --format openlineage"
)
@click.argument("model", metavar="NAME[:ALIAS|:NUMBER]", shell_complete=asking.models)
@in_project
@options
def model(address: Address, /, model: str, *, project: str | None, **how: Any) -> None:
    """Show which runs, data and code made a version of a model, and who used it."""
    _show(address, _named("model", model, project), **how)


@command.command(
    epilog="\b\nExamples:\n  mlosctl lineage file data/clean.csv\n  mlosctl lineage file report.html --project vision"
)
@click.argument("path", type=click.Path(), shell_complete=asking.files)
@in_project
@options
def file(address: Address, /, path: str, *, project: str | None, **how: Any) -> None:
    """Show where a file as it is now came from, and who used it."""
    _show(address, _named("file", _meant(path, project), project), **how)


@command.command(
    epilog="\b\nExamples:\n  mlosctl lineage dataset data/train\n  mlosctl lineage dataset data/train --down --depth 1"
)
@click.argument("path", type=click.Path(), shell_complete=asking.files)
@in_project
@options
def dataset(address: Address, /, path: str, *, project: str | None, **how: Any) -> None:
    """The same for a dataset: a file, or a directory with all that is in it."""
    _show(address, _named("dataset", _meant(path, project), project), **how)


@command.command(epilog="\b\nExamples:\n  mlosctl lineage correct cache/tensors.pt dataset")
@click.argument("path", type=click.Path(), shell_complete=asking.files)
@click.argument("role", type=click.Choice(ROLES))
@in_project
@click.pass_obj
def correct(address: Address, path: str, role: str, *, project: str | None) -> None:
    """Say what a file is for, where mlosd is wrong about it. It stays so."""
    asked = {"path": _meant(path, project), "role": role} | ({"project": project} if project else {})
    address.connect().call(f"{LINEAGE}.Correct", asked)


def _named(kind: str, name: str, project: str | None) -> dict[str, Any]:
    return {"kind": kind, "name": name} | ({"project": project} if project else {})


def _meant(path: str, project: str | None) -> str:
    """A path for the daemon: absolute and without links when there is such a file here, else below a project's root."""
    here = path.startswith("/") or (project is None and os.path.lexists(path))
    return os.path.realpath(path) if here else os.path.normpath(path)


def _show(address: Address, asked: dict[str, Any], *, format_: str, json: bool, **how: Any) -> None:
    if how["up"] and how["down"]:
        raise click.UsageError("--up and --down: one of them, or neither for both")
    asked["direction"] = "up" if how["up"] else "down" if how["down"] else "both"
    asked |= {name: how[name] for name in ("depth", "limit", "libraries") if how[name]}
    answer = address.connect().call(f"{LINEAGE}.Of", asked)["graph"]
    if json:
        printing.json_line(answer)
        return
    for line in lineage_formats.lines(format_, Graph(answer)):
        sys.stdout.write(line + "\n")
