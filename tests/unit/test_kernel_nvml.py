"""NVML through a stand-in library (tests/fakes/nvml) that is compiled here and reads its GPUs from a file."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mlosd.kernel import nvml
from mlosd.kernel.nvml import Gpu, Gpus

SOURCE = Path(__file__).parent.parent / "fakes/nvml/nvml_standin.c"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    target = tmp_path_factory.mktemp("nvml") / "libnvidia-ml-standin.so"
    subprocess.run([compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-Wall", "-o", target, SOURCE], check=True)
    return str(target)


def gpus(library: str, file: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> Gpus:
    file.write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.setenv("NVML_STANDIN", str(file))
    return nvml.read(library)


def test_gpus_are_read_with_their_memory_and_processes(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gpus(
        library,
        tmp_path / "gpus",
        monkeypatch,
        "GPU-aaaa;NVIDIA H200;1;150754820096;150000000000;4711,42",
        "GPU-bbbb;NVIDIA L4;0;24000000000;23000000000;",
    )
    assert found.reason is None
    assert found.gpus == (
        Gpu(0, "GPU-aaaa", "NVIDIA H200", 1, 150754820096, 150000000000, (42, 4711)),
        Gpu(1, "GPU-bbbb", "NVIDIA L4", 0, 24000000000, 23000000000, ()),
    )


def test_a_gpu_that_cannot_tell_its_memory_is_still_there(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gpu,) = gpus(library, tmp_path / "gpus", monkeypatch, "GPU-cccc;GB10;;;;9").gpus
    assert (gpu.minor, gpu.memory_total, gpu.memory_free, gpu.processes) == (None, None, None, (9,))


def test_more_processes_than_expected_are_all_read(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = tuple(range(100, 150))
    (gpu,) = gpus(library, tmp_path / "gpus", monkeypatch, f"GPU-d;X;0;1;1;{','.join(map(str, pids))}").gpus
    assert gpu.processes == pids


def test_a_driver_without_gpus_says_so(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus(library, tmp_path / "gpus", monkeypatch) == Gpus((), "the driver sees no GPU")


def test_a_library_without_its_driver_says_so(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVML_STANDIN", str(tmp_path / "missing"))
    assert nvml.read(library) == Gpus((), "nvmlInit_v2: Driver Not Loaded")


def test_a_machine_without_the_library_has_no_gpus() -> None:
    assert nvml.read("libnvidia-ml-that-is-not-here.so.1") == Gpus(
        (), "libnvidia-ml-that-is-not-here.so.1 is not installed"
    )


def test_a_library_that_is_something_else_is_not_trusted() -> None:
    found = nvml.read("libc.so.6")
    assert found.gpus == ()
    assert found.reason is not None
    assert "nvmlInit_v2" in found.reason
