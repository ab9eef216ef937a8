"""The manual of the knobs: each says what it is, the committed page is theirs, and man(1) has nothing against it."""

import importlib.util
import os
import pkgutil
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlosd.mode import knobs
from mlosd.mode.knob import AnyKnob

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "man"
MODULES = sorted(module.name for module in pkgutil.iter_modules(knobs.__path__))


def generator() -> Any:
    """docs/man/knobs.py, as a module."""
    spec = importlib.util.spec_from_file_location("knobs_page", FOLDER / "knobs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def knob_of(module: str) -> AnyKnob:
    knob: AnyKnob = importlib.import_module(f"{knobs.__name__}.{module}").KNOB
    return knob


@pytest.mark.parametrize("module", MODULES)
def test_a_knob_has_the_name_of_its_file(module: str) -> None:
    assert knob_of(module).name == module.replace("_", "-")


@pytest.mark.parametrize("module", MODULES)
def test_a_knob_has_a_manual_of_at_least_two_sentences(module: str) -> None:
    manual = knobs.described()[knob_of(module).name].manual
    assert len(re.findall(r"\S[.?!:)](?:\s|$)", manual)) >= 2, manual


def test_no_two_knobs_have_the_same_name() -> None:
    assert [name for name, number in Counter(knob_of(module).name for module in MODULES).items() if number > 1] == []
    assert len(knobs.described()) == len(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_knob_is_only_spoken_of_by_a_name_that_it_has(module: str) -> None:
    """Where a manual sends the reader to another knob with "see" or "set", that one is there."""
    manual = knobs.described()[knob_of(module).name].manual
    named = re.findall(r"\b(?:see|set) ([a-z]+(?:-[a-z]+)+)\b", " ".join(manual.split()))
    assert [name for name in named if name not in knobs.described()] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_rival_is_a_unit(module: str) -> None:
    assert [rival for rival in knob_of(module).rivals if not rival.endswith((".service", ".timer"))] == []


def test_the_committed_page_is_that_of_the_knobs() -> None:
    assert (FOLDER / "mlosd-knobs.7").read_text() == generator().page(), "run: python docs/man/knobs.py"


def test_the_page_tells_of_every_knob() -> None:
    page = generator().page()
    assert [name for name in knobs.described() if f".SS {name.replace('-', chr(92) + '-')}\n" not in page] == []


@pytest.mark.skipif(shutil.which("man") is None, reason="no man(1) here")
def test_man_renders_it_without_a_warning() -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", str(FOLDER / "mlosd-knobs.7")],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stderr == ""
    assert "KNOBS" in re.sub(".\b", "", shown.stdout)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc(1) here")
def test_mandoc_finds_nothing() -> None:
    found = subprocess.run(["mandoc", "-Tlint", FOLDER / "mlosd-knobs.7"], capture_output=True, text=True, check=False)
    assert found.stdout == ""
