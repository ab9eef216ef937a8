"""mlosctl export: everything that mlosd knows of yours, in one file."""

import contextlib
import json as codec
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from mlosd.cli import asking, printing, progress, say
from mlosd.cli.quantity import show_size
from mlosd.cli.reach import Address

EXCHANGE = "io.mlosd.Exchange"
NAME = "mlosd-export.jsonl"


@click.command(
    epilog="""\b
Examples:
  mlosctl export -o backup.jsonl
  mlosctl export --project vision | jq -r 'select(.kind == "model") | .name'
  mlosctl export --snapshot"""
)
@click.option(
    "--project", metavar="P", help="Only this project, and what its jobs used.", shell_complete=asking.projects
)
@click.option(
    "-o", "--output", metavar="PATH", default="-", help="A file, or a directory to put one into; - is stdout."
)
@click.option("--snapshot", is_flag=True, help="Write Arrow files that programs can map, and print where they are.")
@asking.as_json
@click.pass_obj
def command(address: Address, project: str | None, output: str, *, snapshot: bool, json: bool) -> None:
    """Export everything that mlosd knows of yours as JSON lines.

    Projects, files, their versions, finished jobs, lineage, models and aliases; mlosctl import mlosd takes them in
    again. Contents of files are not part of it.
    """
    if snapshot:
        _snapshot(address, project, json=json)
        return
    done = 0
    with address.connect() as connection:
        replies = connection.stream(f"{EXCHANGE}.Export", {"project": project} if project else {})
        reply = next(replies)  # an error comes before a file is made
        with _file(output) as file, progress.waiting(lambda: progress.counted(done, reply["total"], "records")):
            while reply:
                for record in reply["records"]:
                    file.write(codec.dumps(record, separators=(",", ":")).encode("ascii") + b"\n")
                    done += 1
                reply = next(replies, {})
    if output != "-":
        say.tell(f"{done} records")


def _snapshot(address: Address, project: str | None, *, json: bool) -> None:
    if project:
        raise click.UsageError("--snapshot is of all projects; its readers pick one")
    with address.connect() as connection, progress.waiting(lambda: "writing the snapshot"):
        reply = connection.call(f"{EXCHANGE}.Snapshot", {})
    if json:
        printing.json_line(reply)
        return
    print(reply["path"])
    state = "written now" if reply["made"] else "nothing was committed since it was written"
    say.tell(f"{sum(reply['rows'].values())} rows, {show_size(reply['bytes'])}; {state}")


@contextlib.contextmanager
def _file(output: str) -> Iterator[IO[bytes]]:
    """Where the records go. A file has its name only when it is whole."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output, NAME) if Path(output).is_dir() else Path(output)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # Other users need not read what of ours is in it.
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(fd)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
