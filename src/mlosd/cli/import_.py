"""mlosctl import: what another tool, or another mlosd, knows."""

import fcntl
import json as codec
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from mlosd.cli import asking, printing, program, progress, say
from mlosd.cli.quantity import show_size
from mlosd.cli.reach import Address
from mlosd.cli.table import Column
from mlosd.core.errors import BadRequest, NotFound, Refused

SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
LARGEST = 4 << 30
"""More the daemon would refuse (exchange/sealed.py), and until then it would all be in memory."""
PIECE = 1 << 20
SOURCES = {"mlflow": "MLflow", "dvc": "DVC", "mlosd": "the export"}

into = click.option("--project", metavar="P", help="Put everything into this project.", shell_complete=asking.projects)


@click.group(cls=program.Verbs)
def command() -> None:
    """Take in what MLflow, DVC or another mlosd knows.

    Nothing is changed where it comes from, and what is here already is not added again: import as often as you like.
    """


@command.command(
    epilog="\b\nExamples:\n  mlosctl import mlflow mlflow.db\n  mlosctl import mlflow mlruns --project vision"
)
@click.argument("path", type=click.Path(), shell_complete=asking.files)
@into
@asking.as_json
@click.pass_obj
def mlflow(address: Address, path: str, project: str | None, *, json: bool) -> None:
    """Import an MLflow tracking store.

    PATH is its mlflow.db or its mlruns. Experiments become projects, runs with their parameters, metrics and tags
    become jobs, datasets and models become resources, registered models and their aliases models and aliases.
    """
    _import(address, lambda file: _read("mlflow", path, file), project, json=json)


@command.command(epilog="\b\nExamples:\n  mlosctl import dvc .\n  mlosctl import dvc ~/vision --project vision")
@click.argument("directory", type=click.Path(), shell_complete=asking.files)
@into
@asking.as_json
@click.pass_obj
def dvc(address: Address, directory: str, project: str | None, *, json: bool) -> None:
    """Import a DVC project.

    What it tracks becomes versions of files, each stage of dvc.lock a job. It goes into the project that DIRECTORY
    belongs to; if there is none, DIRECTORY is added as one.
    """
    target = project or _project_of(address, os.path.realpath(directory))
    _import(address, lambda file: _read("dvc", directory, file), target, json=json)


@command.command(epilog="\b\nExamples:\n  mlosctl import mlosd backup.jsonl")
@click.argument("file", type=click.Path(), shell_complete=asking.files)
@into
@asking.as_json
@click.pass_obj
def mlosd(address: Address, file: str, project: str | None, *, json: bool) -> None:
    """Import what mlosctl export wrote; - is stdin.

    Everything becomes yours. Root gets everything back as it was, with its owners and numbers.
    """
    _import(address, lambda records: _copy(file, records), project, json=json)


def _import(address: Address, fill: Callable[[IO[bytes]], None], project: str | None, *, json: bool) -> None:
    with open(os.memfd_create("records", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b") as records:
        with progress.waiting(lambda: f"reading: {show_size(os.fstat(records.fileno()).st_size)} of records"):
            fill(records)
        records.flush()
        fcntl.fcntl(records, fcntl.F_ADD_SEALS, SEALS)
        asked = {"records": 0} | ({"project": project} if project else {})
        with address.connect() as connection, progress.waiting(lambda: "importing"):
            [reply] = connection.call_with_fds("io.mlosd.Exchange.Import", asked, fds=[records.fileno()])
    if json:
        printing.json_line(reply)
    else:
        _show(reply)


def _read(source: str, path: str, records: IO[bytes]) -> None:
    """Have the files read by a process of its own: neither we nor the daemon know their formats."""
    reader = [sys.executable, "-P", "-m", "mlosd.exchange.read", source, os.path.abspath(path)]  # noqa: PTH100
    with subprocess.Popen(reader, stdout=records, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        last = ""
        for line in process.stderr:
            last = line.strip() or last
    if process.returncode:
        try:
            told = codec.loads(last)
            message, hint = str(told["error"]), told["hint"]
        except (ValueError, KeyError, TypeError):
            message, hint = last or f"the reader ended with {process.returncode}", None
        error = Refused(message, hint=hint)
        error.exit_code = process.returncode if process.returncode > 0 else os.EX_SOFTWARE
        raise error


def _copy(file: str, records: IO[bytes]) -> None:
    if file == "-":
        _pour(sys.stdin.buffer, records)
        return
    try:
        with Path(file).open("rb") as source:
            _pour(source, records)
    except FileNotFoundError as e:
        raise NotFound(f"there is no {file}", hint="mlosctl export -o FILE writes one") from e


def _pour(source: IO[bytes], records: IO[bytes]) -> None:
    size = 0
    while piece := source.read(PIECE):
        size += len(piece)
        if size > LARGEST:
            raise BadRequest(
                f"more than {LARGEST >> 30} GiB of records cannot be taken at once",
                hint="export with --project, one after the other",
            )
        records.write(piece)


def _project_of(address: Address, directory: str) -> str:
    """The id of the innermost project that has this directory in it; a new one where there is none."""
    with address.connect() as connection:
        found = connection.call("io.mlosd.Projects.List", {})["projects"]
        above = [one for one in found if f"{directory}/".startswith(f"{one['root']}/")]
        if above:
            return str(max(above, key=lambda one: len(one["root"]))["id"])
        added: dict[str, Any] = connection.call("io.mlosd.Projects.Add", {"path": directory})["project"]
    say.tell(f"added the project {added['name']}")
    return str(added["id"])


def _show(reply: dict[str, Any]) -> None:
    kinds = [kind for kind in reply["added"] | reply["known"] if kind != "lineage"]
    columns = [Column("KIND"), Column("ADDED", align=">"), Column("KNOWN", align=">")]
    rows = [(kind, str(reply["added"].get(kind, 0)), str(reply["known"].get(kind, 0))) for kind in kinds]
    printing.rows(columns, rows)
    if reply["left"]:
        printing.heading("not taken")
        printing.points(f"{count} {reason}" for reason, count in reply["left"].items())
