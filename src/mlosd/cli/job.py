"""mlosctl job: what is queued, runs, or has run."""

import base64
import sys
from collections.abc import Callable
from typing import Any

import click

from mlosd.cli import asking, differences, job_card, job_table, outcome, printing, program, progress, say, submission
from mlosd.cli.reach import Address
from mlosd.cli.request import request
from mlosd.core.errors import BadRequest, MlosError, Unreachable

JOBS = "io.mlosd.Jobs"


def read_id(text: str) -> int:
    """The number of a job; "#7" is how people copy it from elsewhere."""
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise BadRequest(f"{text!r} is not a job id", hint="ids are numbers; mlosctl job list shows them")
    return int(digits)


one_id = click.argument("id_", metavar="ID", callback=asking.read_by(read_id), shell_complete=asking.jobs)
several_ids = click.argument(
    "ids", metavar="ID...", nargs=-1, required=True, callback=asking.read_by(read_id), shell_complete=asking.jobs
)


@click.group(cls=program.Verbs)
def command() -> None:
    """Submit, list, follow, stop and freeze jobs."""


@command.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  mlosctl job submit --gpus 1 --time 8h -- python train.py
  id=$(mlosctl job submit --quiet -- make data)
  mlosctl job submit --stdin --env ci < commands.txt""",
)
@asking.options
@click.option("--quiet", is_flag=True, help="Print the id only, no warnings.")
@click.option("--stdin", is_flag=True, help="Submit each line of stdin as a command, its words split as by a shell.")
@asking.as_json
@asking.command_line
@click.pass_obj
def submit(address: Address, /, argv: tuple[str, ...], *, quiet: bool, stdin: bool, json: bool, **values: Any) -> int:
    """Queue a command; print the job's id.

    The job runs in this directory with this environment. Its output is kept: see mlosctl job logs.
    """
    if stdin and argv:
        raise click.UsageError("--stdin takes its commands from stdin, not from the command line")
    show = printing.json_line if json else _print_id
    warn = _say_nothing if quiet or json else say.tell
    if not stdin:
        answer = submission.one(address, request(argv, asking.asked(values)))
        _submitted(answer, show, warn)
        if answer.get("reason"):
            warn(outcome.waiting(answer["id"], answer["reason"]))
        return 0
    code = 0
    commands = submission.command_lines(sys.stdin)
    for words, reply in zip(commands, submission.many(address, commands, asking.asked(values)), strict=True):
        if isinstance(reply, MlosError):
            say.failed(f"{words[0]}: {reply.message}", reply.hint)
            code = code or reply.exit_code
        else:
            _submitted(reply, show, warn)
    return code


@command.command(
    "list", epilog="\b\nExamples:\n  mlosctl job list\n  mlosctl job list --all --limit 20\n  mlosctl job list --json"
)
@click.option("--all", "all_", is_flag=True, help="Also those that are done.")
@click.option("--everyone", is_flag=True, help="Of all users.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N, the newest.")
@asking.as_json
@click.pass_obj
def list_(address: Address, *, all_: bool, everyone: bool, limit: int | None, json: bool) -> None:
    """List jobs, the newest first."""
    asked = {"all": all_, "everyone": everyone} | ({"limit": limit} if limit else {})
    jobs = address.connect().call(f"{JOBS}.List", asked)["jobs"]
    if json:
        for job in jobs:
            printing.json_line(job)
    elif jobs:
        printing.rows(job_table.columns(), job_table.rows(jobs))
    else:
        say.tell("no jobs" if all_ else "no jobs; --all shows those that are done")


@command.command(epilog="\b\nExamples:\n  mlosctl job show 7\n  mlosctl job show 7 --json | jq .usage")
@one_id
@asking.as_json
@click.pass_obj
def show(address: Address, id_: int, *, json: bool) -> None:
    """Show what a job asked for, got and cost, and how it ended."""
    job = address.connect().call(f"{JOBS}.Show", {"id": id_})["job"]
    if json:
        printing.json_line(job)
    else:
        job_card.show(job)


@command.command(epilog="\b\nExamples:\n  mlosctl job logs 7\n  mlosctl job logs -f --tail 20 7")
@one_id
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is done.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@asking.as_json
@click.pass_obj
def logs(address: Address, id_: int, *, follow: bool, tail: int | None, json: bool) -> None:
    """Print what a job wrote to stdout and stderr."""
    asked: dict[str, Any] = {"id": id_, "follow": follow} | ({"tail": tail} if tail is not None else {})
    for reply in address.connect().stream(f"{JOBS}.Logs", asked):
        if json:
            printing.json_line({"id": id_, "text": base64.b64decode(reply.get("data", "")).decode(errors="replace")})
        else:
            sys.stdout.buffer.write(base64.b64decode(reply.get("data", "")))
            sys.stdout.buffer.flush()


@command.command(epilog="\b\nExamples:\n  mlosctl job wait 7 && echo it went well\n  mlosctl job wait 7 8 9")
@several_ids
@asking.as_json
@click.pass_obj
def wait(address: Address, ids: tuple[int, ...], *, json: bool) -> int:
    """Wait until jobs are done.

    Ends with the job's own exit code (128 + n when signal n ended it); of several, with that of the first one given
    that did not end well.
    """
    connection = address.connect()
    code = 0
    for number, id_ in enumerate(ids):
        latest = {"state": ""}
        many = f"{number} of {len(ids)} done, " if len(ids) > 1 else ""
        with progress.waiting(lambda: f"{many}job {id_} {latest['state']}"):  # noqa: B023
            for reply in connection.stream(f"{JOBS}.Wait", {"id": id_}):
                latest = reply["job"]
        code = code or outcome.exit_code(latest)
        if json:
            printing.json_line(latest)
        else:
            print(f"job {id_}: {outcome.words(latest)}", flush=True)
    return code


@command.command(epilog="\b\nExamples:\n  mlosctl job rerun 7\n  mlosctl job rerun 7 --wait && echo reproducible")
@one_id
@click.option("--wait", "wait_", is_flag=True, help="Wait for its end, and say whether it wrote the same again.")
@asking.as_json
@click.pass_obj
def rerun(address: Address, id_: int, *, wait_: bool, json: bool) -> int:
    """Run a job again as it was; print the new job's id.

    Command, directory, environment and limits are the same. Inputs that have changed since are named on stderr.
    With --wait it ends with the exit code of the new job, or with 1 when that is 0 but a file came out otherwise.
    """
    answer = address.connect().call("io.mlosd.Lineage.Rerun", {"run": id_})
    if json:
        printing.json_line(answer)
    else:
        _submitted(answer, _print_id, say.tell)
        for change in answer["changed"]:
            say.tell(f"job {answer['id']}: {differences.changed(change)}")
    if not wait_:
        return 0
    with progress.waiting(lambda: f"job {answer['id']} runs again"):
        for reply in address.connect().stream(f"{JOBS}.Wait", {"id": answer["id"]}):
            ended = reply["job"]
    if not json:
        print(f"job {answer['id']}: {outcome.words(ended)}", flush=True)
    came_out = differences.outputs(address, id_, answer["id"], json=json)
    return outcome.exit_code(ended) or came_out


@command.command(epilog="\b\nExamples:\n  mlosctl job cancel 7\n  mlosctl job cancel 7 8 9")
@several_ids
@asking.as_json
@click.pass_obj
def cancel(address: Address, ids: tuple[int, ...], *, json: bool) -> int:
    """Stop jobs for good.

    Each gets SIGTERM; after its grace period everything in its cgroup is killed.
    """
    return _each(address, "Cancel", ids, json=json)


@command.command(epilog="\b\nExamples:\n  mlosctl job freeze 7")
@several_ids
@asking.as_json
@click.pass_obj
def freeze(address: Address, ids: tuple[int, ...], *, json: bool) -> int:
    """Stop jobs where they are.

    All their processes keep their memory, and go on with mlosctl job thaw.
    """
    return _each(address, "Freeze", ids, json=json)


@command.command(epilog="\b\nExamples:\n  mlosctl job thaw 7")
@several_ids
@asking.as_json
@click.pass_obj
def thaw(address: Address, ids: tuple[int, ...], *, json: bool) -> int:
    """Let frozen jobs go on."""
    return _each(address, "Thaw", ids, json=json)


def _each(address: Address, method: str, ids: tuple[int, ...], *, json: bool) -> int:
    """Call `method` for every id, also after one that failed; the exit code of the first that did."""
    connection = address.connect()
    code = 0
    for id_ in ids:
        try:
            job = connection.call(f"{JOBS}.{method}", {"id": id_})["job"]
        except Unreachable:
            raise
        except MlosError as error:
            say.failed(error.message, error.hint)
            code = code or error.exit_code
            continue
        if json:
            printing.json_line(job)
        else:
            print(f"job {id_}: {job_table.state(job)}")
    return code


def _submitted(answer: dict[str, Any], show_: Callable[[dict[str, Any]], None], warn: Callable[[str], None]) -> None:
    show_(answer)
    for warning in answer["warnings"]:
        warn(f"job {answer['id']}: warning: {warning}")


def _print_id(answer: dict[str, Any]) -> None:
    print(answer["id"], flush=True)


def _say_nothing(text: str) -> None:
    """Nothing, on purpose: --quiet."""
