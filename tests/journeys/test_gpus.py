"""Jobs get GPUs of their own, on a stand-in for NVML."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.daemon import Mlosd

from mlosd.core.errors import Refused

SOURCE = Path(__file__).parent.parent / "fakes/nvml/nvml_standin.c"
TWO = "GPU-a;Test;0;1000;900;\nGPU-b;Test;1;1000;900;\n"


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that the stand-in reads its GPUs from."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    devices = tmp_path / "gpus"
    devices.write_text(TWO)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("NVML_STANDIN", str(devices))
    yield devices


def test_two_jobs_get_two_gpus_and_the_next_gets_the_one_that_is_free_again(gpus: Path, tmp_path: Path) -> None:
    with Mlosd(tmp_path / "root") as mlosd:
        command = ("sh", "-c", "echo $CUDA_VISIBLE_DEVICES; sleep 600")
        running = [mlosd.wait(mlosd.submit(*command, limits={"gpus": 1}), "RUNNING") for _ in range(2)]
        assert sorted(gpu for job in running for gpu in job["gpus"]) == ["GPU-a", "GPU-b"]
        with pytest.raises(Refused, match="3 GPUs asked, this machine has 2"):
            mlosd.submit("true", limits={"gpus": 3})
        mlosd.call("io.mlosd.Jobs.Cancel", id=running[0]["id"])
        mlosd.wait(running[0]["id"])
        again = mlosd.wait(mlosd.submit(*command, limits={"gpus": 1}), "RUNNING")
        assert again["gpus"] == running[0]["gpus"]
        assert mlosd.output(again["id"]).strip() == running[0]["gpus"][0]


def test_a_gpu_that_a_stranger_computes_on_is_left_alone(gpus: Path, tmp_path: Path) -> None:
    gpus.write_text("GPU-a;Test;0;1000;100;4242\nGPU-b;Test;1;1000;900;\n")
    with Mlosd(tmp_path / "root") as mlosd:
        assert mlosd.wait(mlosd.submit("sleep", "600", limits={"gpus": 1}), "RUNNING")["gpus"] == ["GPU-b"]


def test_gpus_stay_with_their_job_over_a_restart(gpus: Path, tmp_path: Path) -> None:
    with Mlosd(tmp_path / "root") as mlosd:
        first = mlosd.wait(mlosd.submit("sleep", "600", limits={"gpus": 1}), "RUNNING")
        mlosd.kill()
        mlosd.start()
        second = mlosd.wait(mlosd.submit("sleep", "600", limits={"gpus": 1}), "RUNNING")
        assert set(first["gpus"]).isdisjoint(second["gpus"])


def test_a_job_that_asks_for_no_gpu_sees_none(gpus: Path, tmp_path: Path) -> None:
    with Mlosd(tmp_path / "root") as mlosd:
        id_ = mlosd.submit("sh", "-c", "echo [$CUDA_VISIBLE_DEVICES]", limits={"gpus": 0})
        mlosd.wait(id_)
        assert mlosd.output(id_) == "[]\n"
