"""Write the man pages of mlosctl from its command tree: python docs/man/generate.py [FOLDER].

One page for mlosctl and one per noun. mlosd.8 is written by hand.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from mlosd import __version__
from mlosd.cli import program
from mlosd.cli.main import NOUNS

# Of the last change to what the pages say; the same tree gives the same bytes.
DATE = "2026-11-28"
HERE = Path(__file__).resolve().parent
GENERATED = '.\\" Made by docs/man/generate.py from the command tree; change src/mlosd/cli instead.'

EXIT_STATUS = (
    ("0", "It went well."),
    ("64", "The command line makes no sense."),
    ("66", "There is no such job, project or file."),
    ("69", "It cannot be done on this machine, or not now."),
    ("70", "A fault of mlosd or mlosctl."),
    ("75", "The daemon does not answer."),
    ("77", "You may not do this."),
    ("130", "Ctrl-C."),
)
ENVIRONMENT = (
    ("MLOSD_SOCKET", "The daemon's socket, when neither --socket nor --root is given."),
    ("MLOSD_ROOT", "The directory that the daemon keeps its state below, when MLOSD_SOCKET is not set either."),
    ("NO_COLOR", "No colours, whatever the terminal."),
    ("COLUMNS", "Width that tables are cut to, when stdout is a terminal."),
)


def pages() -> dict[str, str]:
    """Every page by file name."""
    root = click.Context(program.command, info_name="mlosctl")
    nouns = {noun: program.command.get_command(root, noun) for noun in NOUNS}
    made = {"mlosctl.1": _lines(main_page(root))}
    for noun, command in nouns.items():
        assert command is not None
        ctx = click.Context(command, info_name=noun, parent=root)
        made[f"mlosctl-{noun}.1"] = _lines(noun_page(ctx))
    return made


def main_page(ctx: click.Context) -> Iterator[str]:
    """mlosctl.1"""
    yield from head("mlosctl", ctx.command)
    yield ".SH SYNOPSIS"
    yield from synopsis(ctx)
    yield ".SH DESCRIPTION"
    yield from prose(ctx.command.help or "")
    yield ".SH OPTIONS"
    yield from options(ctx)
    yield ".SH COMMANDS"
    for noun, text in NOUNS.items():
        yield from item(f"\\fBmlosctl\\-{noun}\\fR(1)", text)
    yield from examples(ctx.command)
    yield ".SH EXIT STATUS"
    yield "As in \\fBsysexits.h\\fR(3head); \\fBrun\\fR and \\fBjob wait\\fR end as the job does."
    for code, text in EXIT_STATUS:
        yield from item(code, text)
    yield ".SH ENVIRONMENT"
    for name, text in ENVIRONMENT:
        yield from item(name, text)
    yield ".SH FILES"
    yield from item("\\fI/run/mlosd/mlosd.sock\\fR", "The daemon's socket.")
    yield from see_also("mlosd(8)", *(f"mlosctl-{noun}(1)" for noun in NOUNS))


def noun_page(ctx: click.Context) -> Iterator[str]:
    """mlosctl-NOUN.1: of a noun with verbs, each verb in a section of its own."""
    command = ctx.command
    yield from head(f"mlosctl-{ctx.info_name}", command)
    yield ".SH SYNOPSIS"
    if not isinstance(command, click.Group):
        yield from synopsis(ctx)
        yield ".SH DESCRIPTION"
        yield from prose(command.help or "")
        yield ".SH OPTIONS"
        yield from options(ctx)
        yield from examples(command)
    else:
        verbs = [click.Context(verb, info_name=name, parent=ctx) for name, verb in command.commands.items()]
        for number, verb in enumerate(verbs):
            yield from synopsis(verb, first=".PP" if number else "")
        yield ".SH DESCRIPTION"
        yield from prose(command.help or "")
        for verb in verbs:
            yield f".SH {roff(f'{ctx.info_name} {verb.info_name}').upper()}"
            yield from prose(verb.command.help or "")
            yield from options(verb)
            yield ".PP"
            yield from example_lines(verb.command)
    yield from see_also("mlosctl(1)", "mlosd(8)")


def head(name: str, command: click.Command) -> Iterator[str]:
    """Title and NAME."""
    summary = (command.help or "").split("\n\n")[0].replace("\n", " ").rstrip(".")
    yield GENERATED
    yield f'.TH {roff(name).upper()} 1 "{DATE}" "mlosd {__version__}" "mlosd"'
    yield ".SH NAME"
    yield f"{roff(name)} \\-"
    yield from wrapped(summary[:1].lower() + summary[1:])


def synopsis(ctx: click.Context, *, first: str = "") -> Iterator[str]:
    """How it is typed."""
    if first:
        yield first
    pieces = ctx.command.collect_usage_pieces(ctx)
    yield f".B {roff(ctx.command_path)}"
    yield roff(" ".join(pieces))


def options(ctx: click.Context) -> Iterator[str]:
    """The options, each with its text."""
    # Not parameter.get_help_record: its words change from one version of click to the next.
    for option in ctx.command.params:
        if isinstance(option, click.Option):
            names = ", ".join(f"\\fB{roff(name)}\\fR" for name in option.opts)
            yield from item(f"{names} \\fI{roff(option.metavar)}\\fR" if option.metavar else names, option.help or "")
    yield from item("\\fB\\-\\-help\\fR", "Show the help and exit.")


def item(tag: str, text: str) -> Iterator[str]:
    """A tagged paragraph; `tag` is roff already."""
    yield ".TP"
    yield tag
    yield from wrapped(text)


def prose(text: str) -> Iterator[str]:
    """Paragraphs."""
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ".PP"
        yield from wrapped(paragraph)


def wrapped(text: str) -> Iterator[str]:
    """Lines of roff that fit into 80 columns."""
    yield from map(roff, textwrap.wrap(text, 72, break_on_hyphens=False))


def examples(command: click.Command) -> Iterator[str]:
    """The EXAMPLES section."""
    if command.epilog:
        yield ".SH EXAMPLES"
        yield from example_lines(command)


def example_lines(command: click.Command) -> Iterator[str]:
    """The commands that the help's epilog shows."""
    shown = [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  ")]
    if shown:
        yield ".RS 4"
        yield ".nf"
        yield from map(roff, shown)
        yield ".fi"
        yield ".RE"


def see_also(*names: str) -> Iterator[str]:
    """The SEE ALSO section."""
    yield ".SH SEE ALSO"
    pairs = [name.removesuffix(")").split("(") for name in names]
    yield ",\n".join(f".BR {roff(name)} ({section})" for name, section in pairs)


def roff(text: str) -> str:
    """`text` as it is, in roff(7): no escapes, no control lines, hyphens that can be copied."""
    text = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("~", "\\(ti").replace("^", "\\(ha")
    )
    return f"\\&{text}" if text.startswith(".") else text


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, text in pages().items():
        (folder / name).write_text(text)
