"""The command tree, for click: global options, nouns found by name, usage errors in our voice."""

import importlib
import keyword
import os
from collections.abc import Iterable, Sequence

import click

from mlosd import __version__
from mlosd.cli import say
from mlosd.cli.main import NOUNS
from mlosd.cli.reach import Address

COMPLETE = "_MLOSCTL_COMPLETE"


class Verbs(click.Group):
    """A noun with its verbs, in the order they are written; wrong ones are answered with the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order they are written."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which ones are near."""
        if args[0] not in self.list_commands(ctx) and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"no such command: {ctx.command_path} {args[0]}{self.near(ctx, args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def near(self, ctx: click.Context, word: str) -> str:
        """A question with the commands that `word` may have meant."""
        return _did_you_mean(ctx.command_path, _alike(word, self.list_commands(ctx)))


class Nouns(Verbs):
    """The nouns of mlosctl: each is a module of this package with a `command`, imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The nouns, in the order of the table of contents."""
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the noun."""
        if cmd_name not in NOUNS:
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = importlib.import_module(f"mlosd.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the nouns without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))

    def near(self, ctx: click.Context, word: str) -> str:
        """A question with the nouns, and the verbs of nouns, that `word` may have meant."""
        verbs = [
            f"{noun} {verb}"
            for noun in NOUNS
            if isinstance(command := self.get_command(ctx, noun), click.Group)
            for verb in command.commands
            if verb == word
        ]
        return _did_you_mean(ctx.command_path, verbs or _alike(word, NOUNS))


@click.group(
    cls=Nouns,
    epilog="""\b
Examples:
  mlosctl run --cpus 4 --memory 8G -- python train.py
  mlosctl job submit --env ci -- make test
  mlosctl job list
  mlosctl job logs -f 7

\b
Exit codes are those of sysexits(3); run and job wait end as the job does.""",
)
@click.option("--root", metavar="DIR", help="Talk to the daemon that keeps its state below DIR. [env: MLOSD_ROOT]")
@click.option("--socket", metavar="PATH", help="Talk to the daemon that listens at PATH. [env: MLOSD_SOCKET]")
@click.version_option(__version__, prog_name=say.NAME, message="%(prog)s %(version)s")
@click.pass_context
def command(ctx: click.Context, root: str | None, socket: str | None) -> None:
    """Talk to mlosd, the machine learning runtime of this machine."""
    ctx.obj = Address(socket=socket, root=root)


def run(argv: Sequence[str]) -> int:
    """Parse `argv` and do it; the exit code. Raises what the verbs raise."""
    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(command, {}, say.NAME, COMPLETE, instruction)
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    try:
        with command.make_context(say.NAME, list(argv)) as ctx:
            return command.invoke(ctx) or 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.message, err=True)
        return os.EX_USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else say.NAME
        say.failed(_sentence(error.format_message()), f"see {path} --help")
        return os.EX_USAGE
    except click.Abort:
        raise KeyboardInterrupt from None


def _alike(word: str, known: Iterable[str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(word.lower(), list(known), n=3, cutoff=0.5)


def _did_you_mean(path: str, names: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(f'{path} {name}' for name in names)}?" if names else ""


def _sentence(message: str) -> str:
    """Click's sentence as the middle of ours: one line, no capital, no full stop."""
    text = " ".join(message.split()).removesuffix(".")
    return text[:1].lower() + text[1:]
