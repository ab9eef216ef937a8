"""Completion: a script for each shell that the shell itself accepts, and words without a daemon."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlosd.cli import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_accepts_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    assert main.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "_MLOSCTL_COMPLETE" in script


def test_bash_completes_in_a_real_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    command = tmp_path / "mlosctl"
    command.write_text(f"#!{sys.executable}\nfrom mlosd.cli.main import main\nmain()\n")
    command.chmod(0o755)
    asked = """
PATH=$1:$PATH
COMP_WORDS=(mlosctl job fr); COMP_CWORD=2
_mlosctl_completion mlosctl
echo "${COMPREPLY[@]}"
"""
    shown = subprocess.run(
        ["bash", "-c", script + asked, "-", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (shown.stdout.strip(), shown.stderr) == ("freeze", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [("mlosctl ", "run"), ("mlosctl job ", "logs"), ("mlosctl run --cl", "--class"), ("mlosctl run --env d", "dev")],
)
def test_words_are_completed_without_a_daemon(
    words: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("_MLOSCTL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    monkeypatch.setenv("MLOSD_ROOT", str(tmp_path))
    assert main.run([]) == 0
    assert expected in [line.split(",")[1] for line in capsys.readouterr().out.splitlines()]


def test_jobs_are_not_completed_without_a_daemon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("_MLOSCTL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "mlosctl job show ")
    monkeypatch.setenv("COMP_CWORD", "3")
    monkeypatch.setenv("MLOSD_ROOT", str(tmp_path))
    assert main.run([]) == 0
    captured = capsys.readouterr()
    assert (captured.out.strip(), captured.err) == ("", "")


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", "mlosctl.bash"), ("zsh", "_mlosctl"), ("fish", "mlosctl.fish")], ids=lambda x: x
)
def test_the_scripts_that_are_installed_are_those_that_mlosctl_prints(
    shell: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = Path(__file__).resolve().parents[2] / "docs" / "completions" / file
    assert main.run(["completion", shell]) == 0
    assert committed.read_text() == capsys.readouterr().out, f"run: mlosctl completion {shell} > {committed}"
