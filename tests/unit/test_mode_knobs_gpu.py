"""What the GPU knobs want, on a stand-in for NVML."""

from pathlib import Path

import pytest
from tests.fakes.nvml import standin
from tests.fakes.tree import materialize

from mlosd.kernel import topology
from mlosd.mode.knob import Cannot, Knob, Want
from mlosd.mode.knobs import gpu_clocks, gpu_compute_mode, gpu_persistence
from mlosd.mode.scene import Host, Scene, Setting

ONE = "GPU-one;NVIDIA H100;0;85520809984;85000000000;{pids};1980"
TWO = "GPU-two;NVIDIA L4;1;24000000000;23000000000;;2040"
OLD = "GPU-old;Tesla K80;2;;;;"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return standin.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def scene(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Training holds one of the two GPUs."""
    standin.show(tmp_path / "gpus", monkeypatch, ONE.format(pids=""), TWO, OLD)
    return holding(library, tmp_path, "GPU-one")


def holding(library: str, tmp_path: Path, *gpus: str, members: tuple[str, ...] = ()) -> Scene:
    materialize(tmp_path / "sys", {"devices/system/cpu/online": "0-3\n"})
    host = Host(sys=tmp_path / "sys", proc=tmp_path / "proc", nvml=library)
    return Scene(host, topology.read(tmp_path / "sys"), gpus=gpus, members=members)


@pytest.mark.parametrize(
    ("knob", "setting", "target", "value"),
    [
        (gpu_persistence.KNOB, True, "GPU-one persistence", "on"),
        (gpu_clocks.KNOB, True, "GPU-one clocks", "locked 1980 1980"),
        (gpu_clocks.KNOB, 1410, "GPU-one clocks", "locked 1410 1410"),
        (gpu_compute_mode.KNOB, True, "GPU-one compute-mode", "exclusive-process"),
    ],
)
def test_only_the_gpus_of_training_are_set(scene: Scene, knob: Knob, setting: Setting, target: str, value: str) -> None:
    assert list(knob.wishes(setting, scene)) == [Want("gpu", target, value)]


@pytest.mark.parametrize("knob", [gpu_persistence.KNOB, gpu_clocks.KNOB, gpu_compute_mode.KNOB])
def test_without_a_gpu_the_reason_is_said(library: str, tmp_path: Path, scene: Scene, knob: Knob) -> None:
    assert list(knob.wishes(True, holding(library, tmp_path))) == [Cannot("GPUs", "training holds none")]
    gone = holding(library, tmp_path, "GPU-gone")
    assert list(knob.wishes(True, gone)) == [Cannot("GPU-gone", "the driver does not see this GPU")]
    without = holding("libnvidia-ml-not-here.so.1", tmp_path, "GPU-one")
    assert list(knob.wishes(True, without)) == [Cannot("GPUs", "libnvidia-ml-not-here.so.1 is not installed")]


def test_a_gpu_that_cannot_tell_its_highest_clock_is_named(library: str, tmp_path: Path, scene: Scene) -> None:
    asked = holding(library, tmp_path, "GPU-old", "GPU-two")
    assert list(gpu_clocks.KNOB.wishes(True, asked)) == [
        Cannot("GPU-old clocks", "nvmlDeviceGetMaxClockInfo: Not Supported"),
        Want("gpu", "GPU-two clocks", "locked 2040 2040"),
    ]


@pytest.mark.parametrize(
    ("cgroups", "others"),
    [
        ({"7": "0::/mlos.slice/mlos-job-1.service\n"}, None),
        ({"7": "0::/user.slice/training.scope\n"}, None),
        ({}, None),
        ({"7": "0::/user.slice/training.scope-of-bob\n"}, "7"),
        ({"7": "0::/user.slice\n", "8": "0::/system.slice/x.service\n"}, "7, 8"),
        ({"7": "nonsense\n"}, "7"),
    ],
)
def test_a_gpu_that_others_compute_on_is_not_made_exclusive(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroups: dict[str, str], others: str | None
) -> None:
    standin.show(tmp_path / "gpus", monkeypatch, ONE.format(pids="7,8"))
    materialize(tmp_path / "proc", {f"{pid}/cgroup": text for pid, text in cgroups.items()})
    scene = holding(library, tmp_path, "GPU-one", members=("/user.slice/training.scope",))
    target = "GPU-one compute-mode"
    wanted = Want("gpu", target, "exclusive-process")
    cannot = Cannot(target, f"others compute on it: process {others}")
    assert list(gpu_compute_mode.KNOB.wishes(True, scene)) == [cannot if others else wanted]


@pytest.mark.parametrize(
    ("knob", "setting"),
    [
        (gpu_persistence.KNOB, "on"),
        (gpu_clocks.KNOB, 5),
        (gpu_clocks.KNOB, "max"),
        (gpu_clocks.KNOB, False),
        (gpu_compute_mode.KNOB, "prohibited"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(knob: Knob, setting: Setting) -> None:
    with pytest.raises(ValueError):
        knob.accepts(setting)


def test_the_driver_is_kept_before_clocks_are_locked_and_let_go_after() -> None:
    assert gpu_persistence.KNOB.stage < gpu_clocks.KNOB.stage
    assert gpu_persistence.KNOB.rank == gpu_clocks.KNOB.rank  # newest first
