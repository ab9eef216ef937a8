"""The demo's story with a training that takes a moment: it holds, and whatever happens nothing is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STORY = Path(__file__).resolve().parent.parent.parent / "demo" / "story.py"
PREPARE = """\
import pathlib
pathlib.Path("data").mkdir(exist_ok=True)
rows = [f"{number},{airport},7\\n" for number in range(40) for airport in ("EWR", "JFK")]
pathlib.Path("data/flights.csv").write_text("day,origin,delay\\n" + "".join(rows))
print("prepared")
"""
# What it writes is a model by its content: a safetensors file.
TRAIN = """\
import json, pathlib, struct, sys, time
lines = pathlib.Path("data/flights.csv").read_text().splitlines()
for step in range(5 if len(sys.argv) > 1 else 60):
    print(f"step {step}", flush=True)
    time.sleep(0.05)
header = {"layer.weight": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}}
text = json.dumps(header).encode().ljust(96)
pathlib.Path("models").mkdir(exist_ok=True)
weights = struct.pack("<dd", len(lines), step)
pathlib.Path("models/flights.joblib").write_bytes(struct.pack("<Q", len(text)) + text + weights)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "train.py").write_text(TRAIN)
    (folder / "mlos.toml").write_text('name = "flights"\n')
    return folder


def tell(project: Path) -> "subprocess.Popen[str]":
    command = (sys.executable, STORY, "--project", project, "--folder", project.parent / "demo")
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def left_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def processes_in(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, cwd = (process / "cmdline").read_bytes(), (process / "cwd").readlink()
        except OSError:
            continue
        if cwd.is_relative_to(folder) or os.fsencode(folder / "mlosd") in words:
            found.append(process.name)
    return found


def test_the_story_holds_and_leaves_nothing(project: Path) -> None:
    story = tell(project)
    told, _ = story.communicate(timeout=60)
    assert story.returncode == 0, told
    assert "Nothing is left" in told
    assert left_in(project.parent) == ["project"]


def test_a_story_that_does_not_hold_says_so_and_leaves_nothing(project: Path) -> None:
    (project / "train.py").write_text("import sys; sys.exit(7 if len(sys.argv) > 1 else 0)\n")
    story = tell(project)
    told, _ = story.communicate(timeout=60)
    assert story.returncode == 1
    assert "train.py --trees 60` ends with 0, not with 7" in told
    assert left_in(project.parent) == ["project"]


def test_ctrl_c_while_the_daemon_is_dead_leaves_nothing(project: Path) -> None:
    story = tell(project)
    assert story.stdout is not None
    for line in story.stdout:
        if "nobody answers" in line:
            break
    story.send_signal(signal.SIGINT)
    told, _ = story.communicate(timeout=60)
    assert story.returncode == 130, told
    assert left_in(project.parent) == ["project"]
    assert processes_in(project.parent / "demo") == []
