"""Builds the stand-in for NVML, and shows it a machine."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_standin.c")


def build(folder: Path) -> str:
    """The library's path."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    target = folder / "libnvidia-ml-standin.so"
    subprocess.run([compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-Wall", "-o", target, SOURCE], check=True)
    return str(target)


def show(file: Path, monkeypatch: pytest.MonkeyPatch, *gpus: str) -> Path:
    """A machine with these GPUs, a line each; the file that tells what was set in them."""
    file.write_text("".join(f"{gpu}\n" for gpu in gpus))
    monkeypatch.setenv("NVML_STANDIN", str(file))
    return file.with_name(f"{file.name}.set")
