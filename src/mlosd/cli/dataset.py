"""mlosctl dataset: data that mlosd knows, and whether it is what it was."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mlosd.cli import asking, printing, program, progress
from mlosd.cli.printing import moment
from mlosd.cli.quantity import show_size
from mlosd.cli.reach import Address
from mlosd.cli.table import Column

Dataset = dict[str, Any]


@click.group(cls=program.Verbs)
def command() -> None:
    """Look at datasets and whether they changed."""


@command.command("list", epilog="\b\nExamples:\n  mlosctl dataset list\n  mlosctl dataset list --project vision")
@click.option("--project", metavar="P", help="Only those of this project.", shell_complete=asking.projects)
@asking.as_json
@click.pass_obj
def list_(address: Address, *, project: str | None, json: bool) -> None:
    """List the datasets: files, and directories that are one dataset each."""
    asked = {"project": project} if project else {}
    datasets = address.connect().call("io.mlosd.Datasets.List", asked)["datasets"]
    if json:
        for dataset in datasets:
            printing.json_line(dataset)
        return
    columns = [
        Column("PROJECT"), Column("FILES", align=">"), Column("SIZE", align=">"), Column("VERSIONS", align=">"),
        Column("SINCE"), Column("DIGEST"), Column("PATH", cut=True),
    ]  # fmt: skip
    printing.rows(columns, map(_row, datasets))


@command.command(epilog="\b\nExamples:\n  mlosctl dataset show data/images")
@click.argument("path", type=click.Path())
@asking.as_json
@click.pass_obj
def show(address: Address, path: str, *, json: bool) -> None:
    """Show a dataset and its versions, with how many files each changed."""
    reply = address.connect().call("io.mlosd.Datasets.Show", {"path": os.path.abspath(path)})  # noqa: PTH100
    if json:
        printing.json_line(reply)
        return
    _card(reply["dataset"], [])
    if reply["versions"]:
        print()
        columns = [
            Column("VERSION", align=">"), Column("SEEN"), Column("RUN", align=">"), Column("FILES", align=">"),
            Column("SIZE", align=">"), Column("ADDED", align=">"), Column("REMOVED", align=">"),
            Column("CHANGED", align=">"), Column("DIGEST"),
        ]  # fmt: skip
        printing.rows(columns, map(_version, reply["versions"]))


@command.command(epilog="\b\nExamples:\n  mlosctl dataset status data/images")
@click.argument("path", type=click.Path())
@asking.as_json
@click.pass_obj
def status(address: Address, path: str, *, json: bool) -> None:
    """Say whether a dataset is unchanged. Exits with 1 if it had changed since it was last looked at."""
    told = _ask(address, os.path.abspath(path))  # noqa: PTH100 (keeps symlinks)
    if json:
        printing.json_line(told)
    else:
        _card(told["dataset"], [("state", _state(told)), ("watched", _watched(told))])
        printing.points(told["notes"])
    if told["changed"]:
        raise SystemExit(1)


def _ask(address: Address, path: str) -> dict[str, Any]:
    counted = 0
    with progress.waiting(lambda: f"looking at {path}: {counted:,} files"), _replies(address, path) as replies:
        for reply in replies:
            counted = reply["counted"]
            if reply["status"]:
                told: dict[str, Any] = reply["status"]
                return told
    raise AssertionError("the last reply has a status")


@contextmanager
def _replies(address: Address, path: str) -> Iterator[Iterator[dict[str, Any]]]:
    with address.connect() as connection:
        yield connection.stream("io.mlosd.Datasets.Status", {"path": path})


def _card(dataset: Dataset, more: list[tuple[str, str]]) -> None:
    printing.heading(dataset["path"])
    printing.facts(
        [
            *more,
            ("project", dataset["project"]),
            *([("files", f"{dataset['files']:,}")] if dataset["files"] is not None else []),
            ("size", show_size(dataset["size"])),
            ("digest", dataset["digest"] or "not known yet"),
            ("versions", str(dataset["versions"])),
            ("id", dataset["id"]),
        ]
    )


def _state(told: dict[str, Any]) -> str:
    since = moment(told["dataset"]["since"])
    return f"changed, seen {since}" if told["changed"] else f"unchanged since {since}"


def _watched(told: dict[str, Any]) -> str:
    if told["watched_since"] is not None:
        return f"since {moment(told['watched_since'])}"
    return f"no: {told['not_watched']}; looked at now"


def _row(dataset: Dataset) -> tuple[str, ...]:
    return (
        dataset["project"],
        _number(dataset["files"]),
        show_size(dataset["size"]),
        str(dataset["versions"]),
        moment(dataset["since"]),
        (dataset["digest"] or "-")[:12],
        dataset["path"],
    )


def _version(version: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(version["number"]),
        moment(version["seen_at"]),
        _number(version["made_by"]),
        _number(version["files"]),
        show_size(version["size"]),
        *(_number(version[count]) for count in ("added", "removed", "changed")),
        (version["digest"] or "-")[:12],
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value}"
