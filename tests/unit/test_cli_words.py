"""What people type: the words of `run` with and without click, wrong ones, and how mlosctl ends."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.cli import main, program, quick, request
from mlosd.core.errors import MlosError

FLAGS = [ask.flag for ask in (*request.WHERE, *request.OPTIONS)] + [request.STRICT, request.NO_TTY, "--help", "--bogus"]
VALUES = ["2", "8G", "2h", "prod", "A=b", "-1", "", "x y", "8", "--cpus"]
WORD = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(VALUES),
    st.builds("{}={}".format, st.sampled_from(FLAGS), st.sampled_from(VALUES)),
    st.sampled_from(["run", "--", "-", "python", "-c", "--lr=3"]),
)


def by_click(argv: list[str]) -> tuple[dict[str, object], dict[str, object], list[str]] | None:
    """What click makes of `argv`: global options, options, command; None where it refuses."""
    try:
        with program.command.make_context("mlosctl", list(argv)) as outer:
            name, verb, rest = program.command.resolve_command(outer, [*outer._protected_args, *outer.args])
            assert verb is not None
            if name != "run":
                return None
            with verb.make_context(name, rest, parent=outer) as inner:
                asked = {key: value for key, value in inner.params.items() if value}
                command = list(asked.pop("argv", ()))
                where = {key: value for key, value in outer.params.items() if value}
                return where, asked, command
    except (click.exceptions.Exit, click.UsageError, MlosError):
        return None


@given(st.lists(WORD, max_size=4), st.lists(WORD, max_size=8))
def test_what_is_understood_without_click_is_what_click_understands(before: list[str], after: list[str]) -> None:
    argv = [*before, "run", *after]
    plain = quick.plain(argv)
    if plain is not None:
        asked = {key: value for key, value in plain.asked.items() if value}
        assert (plain.where, asked, plain.argv) == by_click(argv)


@given(st.lists(WORD, max_size=8))
def test_whatever_click_takes_as_a_run_needs_no_click(words: list[str]) -> None:
    argv = ["run", *words]
    taken = by_click(argv)
    # Of an option that is given twice click looks at the last one only; such a line is left to it.
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    if taken is not None and taken[2] and len(options) == len(set(options)):
        assert quick.plain(argv) is not None


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["stauts"], 64, "did you mean mlosctl status?"),
        (["submit"], 64, "did you mean mlosctl job submit?"),
        (["jobs", "list"], 64, "did you mean mlosctl job?"),
        (["job", "lst"], 64, "did you mean mlosctl job list"),
        (["run"], 64, "no command to run"),
        (["run", "--cpus", "2"], 64, "no command to run"),
        (["run", "--memory", "8", "gigs", "--", "x"], 64, "--memory: '8' has no unit"),
        (["run", "--memory", "8 gigs", "--", "x"], 64, "'8 gigs' is not a size"),
        (["run", "--env", "A=b", "x"], 64, "--env names an environment"),
        (["run", "--cpus", "0", "x"], 64, "--cpus: '0'"),
        (["job", "show"], 64, "missing argument 'ID'"),
        (["job", "show", "seven"], 64, "'seven' is not a job id"),
        (["job", "wait"], 64, "missing argument"),
        (["--bogus"], 64, "no such option"),
        (["completion", "tcsh"], 64, "tcsh"),
        (["job", "submit", "--stdin", "x"], 64, "--stdin takes its commands from stdin"),
        (["status"], 75, "mlosd.sock"),
        (["run", "true"], 75, "mlosd.sock"),
        (["job", "list"], 75, "mlosd.sock"),
    ],
)
def test_a_mistake_is_one_line_and_a_hint(
    argv: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["--root", str(tmp_path), *argv]) == code
    out, err = capsys.readouterr()
    first, hint, end = err.split("\n")
    assert out == ""
    assert first.startswith("mlosctl: ")
    assert said in first
    assert hint.startswith(" hint: ")
    assert end == ""


@pytest.mark.parametrize("argv", [[], ["job"]])
def test_without_a_verb_the_help_is_shown_as_a_mistake(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(argv) == os.EX_USAGE
    assert "Usage: mlosctl" in capsys.readouterr().err


def test_help_works_as_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["help", "job", "list"]) == 0
    assert "Usage: mlosctl job list" in capsys.readouterr().out


def test_every_verb_has_help_and_an_example() -> None:
    root = click.Context(program.command, info_name="mlosctl")
    for noun, text in main.NOUNS.items():
        command = program.command.get_command(root, noun)
        assert command is not None
        assert (command.help or "").startswith(text.removesuffix("."))
        verbs = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for verb in verbs:
            assert verb.help
            assert "mlosctl" in (verb.epilog or ""), verb.name


def test_the_socket_that_is_typed_beats_the_one_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlosd.cli.reach import Address

    monkeypatch.setenv("MLOSD_SOCKET", "/env/socket")
    monkeypatch.setenv("MLOSD_ROOT", "/env/root")
    assert Address(socket=None, root=None).socket == "/env/socket"
    assert Address(socket=None, root="/typed").socket == "/typed/run/mlosd.sock"
    assert Address(socket="/typed/socket", root="/typed").socket == "/typed/socket"
    monkeypatch.delenv("MLOSD_SOCKET")
    assert Address(socket=None, root=None).socket == "/env/root/run/mlosd.sock"


def test_a_directory_that_is_gone_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from mlosd.cli.main import run; sys.exit(run(['run', 'true']))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=gone, capture_output=True, text=True, check=False)
    assert ended.returncode == os.EX_NOINPUT
    assert "the current directory no longer exists" in ended.stderr


@pytest.mark.parametrize("argv", [["--version"], ["run", "true"]])
def test_the_common_ways_in_import_neither_click_nor_rich(argv: list[str], tmp_path: Path) -> None:
    code = f"""
import sys
from mlosd.cli.main import run
run({argv!r})
heavy = sorted({{'click', 'rich', 'pathlib', 'inspect', 'dataclasses'}} & set(sys.modules))
sys.exit(' '.join(heavy) or 0)
"""
    environment = {**os.environ, "MLOSD_ROOT": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_reader_that_went_away_is_no_error() -> None:
    code = "from mlosd.cli.main import run; import sys; sys.exit(run(['--help']))"
    ended = subprocess.run(
        ["bash", "-c", '"$1" -c "$2" | true; echo "${PIPESTATUS[0]}"', "-", sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.stdout.strip() in {"0", "141"}
