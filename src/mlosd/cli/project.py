"""mlosctl project: directories that mlosd knows as projects."""

import os
from typing import Any

import click

from mlosd.cli import asking, opened_project, printing, program, progress
from mlosd.cli.printing import moment
from mlosd.cli.quantity import show_size, size
from mlosd.cli.reach import Address
from mlosd.cli.table import Column


@click.group(cls=program.Verbs)
def command() -> None:
    """Register project directories."""


@command.command(epilog="\b\nExamples:\n  mlosctl project add .\n  mlosctl project add ~/vision --name vision")
@click.argument("path", type=click.Path())
@click.option("--name", metavar="N", help="Its name; by default that of the directory, or what its mlos.toml says.")
@asking.as_json
@click.pass_obj
def add(address: Address, path: str, *, name: str | None, json: bool) -> None:
    """Register a directory as a project."""
    asked = {"path": os.path.abspath(path)} | ({"name": name} if name else {})  # noqa: PTH100 (keeps symlinks)
    project = address.connect().call("io.mlosd.Projects.Add", asked)["project"]
    if json:
        printing.json_line(project)
    else:
        _card(project)


@command.command("list", epilog="\b\nExamples:\n  mlosctl project list")
@asking.as_json
@click.pass_obj
def list_(address: Address, *, json: bool) -> None:
    """List the projects."""
    projects = address.connect().call("io.mlosd.Projects.List", {})["projects"]
    if json:
        for project in projects:
            printing.json_line(project)
        return
    columns = [Column("NAME"), Column("OWNER"), Column("ENV"), Column("RESOURCES", align=">"), Column("ROOT", cut=True)]
    printing.rows(
        columns,
        [(p["name"], p["owner"], p["environment"], str(sum(p["resources"].values())), p["root"]) for p in projects],
    )


@command.command(epilog="\b\nExamples:\n  mlosctl project show vision")
@click.argument("project", shell_complete=asking.projects)
@asking.as_json
@click.pass_obj
def show(address: Address, project: str, *, json: bool) -> None:
    """Show a project and the files that it uses."""
    reply = address.connect().call("io.mlosd.Projects.Show", {"project": project})
    if json:
        printing.json_line(reply)
        return
    _card(reply["project"])
    if reply["resources"]:
        print()
        columns = [Column("ROLE"), Column("SIZE", align=">"), Column("INODE", align=">"), Column("PATH", cut=True)]
        printing.rows(columns, map(_resource, reply["resources"]))


@command.command(
    "open", epilog="\b\nExamples:\n  mlosctl project open vision\n  mlosctl project open vision --budget 4G"
)
@click.argument("project", shell_complete=asking.projects)
@click.option("--budget", metavar="SIZE", callback=asking.read_by(size), help="Read no more than this, e.g. 4G.")
@click.option("--force", is_flag=True, help="Warm it also where that was measured not to be worth it.")
@click.option("--network", is_flag=True, help="Warm files on network file systems, too.")
@asking.as_json
@click.pass_obj
def open_(address: Address, project: str, *, budget: int | None, force: bool, network: bool, json: bool) -> None:
    """Bring a project into memory: what its next run will read, in the order in which the last one did."""
    asked = {"project": project, "budget": budget, "force": force or None, "network": network or None}
    known = {name: value for name, value in asked.items() if value is not None}
    reply: dict[str, Any] = {"progress": {"done": 0, "total": 0}}
    with progress.waiting(lambda: progress.bar(**reply["progress"])):
        for reply in address.connect().stream("io.mlosd.Projects.Open", known):  # noqa: B007 - the last one counts
            pass
    if json:
        printing.json_line(reply["opened"])
    else:
        printing.heading(reply["opened"]["project"])
        printing.facts(opened_project.facts(reply["opened"]))


@command.command(epilog="\b\nExamples:\n  mlosctl project remove vision")
@click.argument("project", shell_complete=asking.projects)
@click.pass_obj
def remove(address: Address, project: str) -> None:
    """Forget a project. Its files are not touched; its finished jobs are kept."""
    address.connect().call("io.mlosd.Projects.Remove", {"project": project})


def _card(project: dict[str, Any]) -> None:
    counts = ", ".join(f"{count} {role}" for role, count in project["resources"].items() if count)
    printing.heading(project["name"])
    printing.facts(
        [
            ("root", project["root"]),
            ("owner", project["owner"]),
            ("environment", project["environment"]),
            ("added", moment(project["added_at"])),
            ("resources", counts or "none yet"),
            ("id", project["id"]),
        ]
    )
    printing.points(project["notes"])


def _resource(resource: dict[str, Any]) -> tuple[str, str, str, str]:
    size = show_size(resource["size"]) if resource.get("size") is not None else "-"
    inode = str(resource["inode"]) if resource.get("inode") is not None else "-"
    return resource["role"], size, inode, resource["path"] + ("" if resource["present"] else " (gone)")
