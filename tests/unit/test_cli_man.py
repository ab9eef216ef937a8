"""The man pages: those committed are those of the command tree, and man(1) has nothing to say against them."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlosd import __version__

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "man"
PAGES = sorted([*FOLDER.glob("*.1"), *FOLDER.glob("*.5"), *FOLDER.glob("*.8")])


def generator(name: str) -> Any:
    """A script of docs/man, as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_pages_are_those_of_the_command_tree() -> None:
    committed = {page.name: page.read_text() for page in FOLDER.glob("*.1")}
    assert committed == generator("generate").pages(), "run: python docs/man/generate.py"


def test_the_page_of_the_settings_is_that_of_the_shipped_file() -> None:
    assert (FOLDER / "mlosd.toml.5").read_text() == generator("settings").page(), "run: python docs/man/settings.py"


def test_the_page_of_the_daemon_is_of_this_version() -> None:
    assert f'"mlosd {__version__}"' in (FOLDER / "mlosd.8").read_text()


@pytest.mark.skipif(shutil.which("man") is None, reason="no man(1) here")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_man_renders_it_without_a_warning(page: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", str(page)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stderr == ""
    assert "NAME" in re.sub(".\b", "", shown.stdout)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc(1) here")
def test_mandoc_finds_nothing() -> None:
    found = subprocess.run(["mandoc", "-Tlint", *PAGES], capture_output=True, text=True, check=False)
    assert found.stdout == ""
