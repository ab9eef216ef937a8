"""The options of request.py for click, and the completion of what only the daemon knows."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mlosd.cli.reach import Address
from mlosd.cli.request import OPTIONS, STRICT, STRICT_HELP, Ask, Reader
from mlosd.core.errors import BadRequest, MlosError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., Any])
Completer = Callable[[click.Context, click.Parameter, str], list["CompletionItem"]]

ENVIRONMENTS = ("prod", "dev", "ci", "data")


def read_by(read: Reader) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback for click: values read by our own readers, which say better than click what is wrong."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return read(value) if isinstance(value, str) else value and tuple(map(read, value))
        except BadRequest as error:
            name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
            raise BadRequest(f"{name}: {error.message}", hint=error.hint) from error

    return callback


def option(ask: Ask) -> Callable[[Function], Function]:
    """The click option for `ask`."""
    return click.option(
        ask.flag,
        ask.field,
        callback=read_by(ask.read),
        metavar=ask.metavar,
        help=ask.help,
        shell_complete=COMPLETERS.get(ask.field),
    )


def options(function: Function) -> Function:
    """All options of `run` and `job submit`."""
    function = click.option(STRICT, is_flag=True, default=None, help=STRICT_HELP)(function)
    for ask in reversed(OPTIONS):
        function = option(ask)(function)
    return function


def as_json(function: Function) -> Function:
    """The option --json of every verb that prints."""
    return click.option("--json", "json", is_flag=True, help="Print JSON: one object, or one per line.")(function)


def command_line(function: Function) -> Function:
    """The words of a command, which the shell completes as files."""
    return click.argument("argv", nargs=-1, metavar="-- CMD...", shell_complete=files)(function)


def asked(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, of all that click parsed."""
    known = {ask.field for ask in OPTIONS} | {"strict"}
    return {name: value for name, value in values.items() if name in known and value is not None}


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Files, by the shell itself."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Ids of jobs, with their names; of jobs that are done for the verbs that look back."""
    back = ctx.info_name in {"show", "logs", "wait", "rerun", "job", "run"}
    found = _ask(ctx, "io.mlosd.Jobs.List", {"all": back, "limit": 100}).get("jobs", [])
    taken = set(map(str, ctx.params.get("ids") or ()))
    names = [(str(job["id"]), f"{job['state']} {job['name']}") for job in found if str(job["id"]) not in taken]
    return _beginning(names, incomplete)


def projects(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Names of projects."""
    found = _ask(ctx, "io.mlosd.Projects.List", {}).get("projects", [])
    return _beginning([(project["name"], project["root"]) for project in found], incomplete)


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Names of models."""
    found = _ask(ctx, "io.mlosd.Models.List", {}).get("models", [])
    return _beginning([(model["name"], f"{model['project']}/{model['path']}") for model in found], incomplete)


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Names of profiles of ML mode."""
    found = _ask(ctx, "io.mlosd.Mode.Profiles", {}).get("profiles", [])
    return _beginning([(profile["name"], profile["summary"]) for profile in found], incomplete)


def environments(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Names of environments."""
    return _beginning([(name, None) for name in ENVIRONMENTS], incomplete)


def classes(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Names of the job classes that are shipped."""
    from mlosd.core import data

    return _beginning([(file.stem, None) for file in sorted(data.path("cgroups/classes").glob("*.toml"))], incomplete)


COMPLETERS: dict[str, Completer] = {"project": projects, "env": environments, "class": classes}


def _beginning(names: Sequence[tuple[str, str | None]], incomplete: str) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=text) for name, text in names if name.startswith(incomplete)]


def _ask(ctx: click.Context, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Ask the daemon; nothing when it cannot answer: a person in the middle of a line wants no error."""
    # Completion does not run the callbacks that set ctx.obj.
    where = ctx.find_root().params
    try:
        address = Address(socket=where.get("socket"), root=where.get("root"))
        return address.connect().call(method, parameters)
    except MlosError:
        return {}
