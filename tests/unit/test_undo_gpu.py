"""Settings of GPUs are set and undone, on a stand-in for NVML that forgets nothing and cannot tell locked clocks."""

import errno
from pathlib import Path

import pytest
from tests.fakes.nvml import standin

from mlosd.undo.change import Change
from mlosd.undo.kinds.gpu import Gpu
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import Report, undo

GPU = "GPU-d8a3"
LINE = f"{GPU};NVIDIA H100;0;85520809984;85000000000;;1980"
CLOCKS = f"{GPU} clocks"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return standin.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was set in the GPUs of this machine, a line each."""
    return standin.show(tmp_path / "gpus", monkeypatch, LINE)


@pytest.fixture
def kind(library: str, tmp_path: Path, done: Path) -> Gpu:
    return Gpu(library, locks=tmp_path / "locks", loaded=tmp_path / "version")


def remembered(tmp_path: Path, kind: Gpu, setting: str, after: str) -> UndoLog:
    """The undo log when a change is about to be made."""
    target = f"{GPU} {setting}"
    log = UndoLog(tmp_path / "undo.log", boot="b")
    log.append([Change("gpu", "gpu", target, kind.read(target), after)])
    return log


def undone(log: UndoLog, kind: Gpu) -> Report:
    return undo(log, {"gpu": kind})


@pytest.mark.parametrize(
    ("setting", "before", "after"),
    [
        ("persistence", "off", "on"),
        ("compute-mode", "default", "exclusive-process"),
        ("clocks", "default", "locked 1410 1980"),
    ],
)
def test_a_setting_is_set_read_back_and_undone(
    kind: Gpu, tmp_path: Path, setting: str, before: str, after: str
) -> None:
    target = f"{GPU} {setting}"
    assert kind.read(target) == before
    log = remembered(tmp_path, kind, setting, after)
    kind.write(target, after)
    assert kind.read(target) == after
    assert [one.target for one in undone(log, kind).restored] == [target]
    assert kind.read(target) == before


def test_what_is_set_reaches_the_driver(kind: Gpu, done: Path) -> None:
    kind.write(f"{GPU} persistence", "on")
    kind.write(CLOCKS, "locked 1410 1980")
    kind.write(f"{GPU} compute-mode", "exclusive-process")
    kind.write(CLOCKS, "default")
    assert done.read_text().splitlines() == [
        f"{GPU} persistence 1",
        f"{GPU} clocks 1410 1980",
        f"{GPU} compute-mode 3",
        f"{GPU} clocks default",
    ]


def test_a_mode_that_an_administrator_changed_meanwhile_stays(kind: Gpu, tmp_path: Path) -> None:
    target = f"{GPU} compute-mode"
    log = remembered(tmp_path, kind, "compute-mode", "exclusive-process")
    kind.write(target, "exclusive-process")
    kind.write(target, "prohibited")
    (kept,) = undone(log, kind).kept
    assert (kept.now, kind.read(target)) == ("prohibited", "prohibited")


def test_another_process_knows_that_clocks_are_locked_by_us(kind: Gpu, library: str, tmp_path: Path) -> None:
    log = remembered(tmp_path, kind, "clocks", "locked 1980 1980")
    kind.write(CLOCKS, "locked 1980 1980")
    restorer = Gpu(library, locks=tmp_path / "locks")
    assert [one.target for one in undone(log, restorer).restored] == [CLOCKS]
    assert list((tmp_path / "locks").iterdir()) == []


def test_clocks_that_were_noted_and_not_locked_when_we_died_are_reset(kind: Gpu, tmp_path: Path, done: Path) -> None:
    log = remembered(tmp_path, kind, "clocks", "locked 1980 1980")
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / GPU).write_text("locked 1980 1980")
    assert undone(log, kind).failed == []
    assert done.read_text() == f"{GPU} clocks default\n"


def test_clocks_that_were_reset_and_still_noted_when_we_died_are_reset_again(kind: Gpu, tmp_path: Path) -> None:
    log = remembered(tmp_path, kind, "clocks", "locked 1980 1980")
    kind.write(CLOCKS, "locked 1980 1980")
    note = (tmp_path / "locks" / GPU).read_text()
    kind.write(CLOCKS, "default")
    (tmp_path / "locks" / GPU).write_text(note)
    assert undone(log, kind).failed == []
    assert kind.read(CLOCKS) == "default"


@pytest.mark.parametrize("before", ["default", "locked 1000 1000"])
def test_a_lock_that_is_refused_is_not_noted(kind: Gpu, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    kind.write(CLOCKS, before)
    monkeypatch.setenv("NVML_STANDIN_REFUSED", "nvmlDeviceSetGpuLockedClocks")
    with pytest.raises(PermissionError, match="nvmlDeviceSetGpuLockedClocks: Insufficient Permissions"):
        kind.write(CLOCKS, "locked 1980 1980")
    assert kind.read(CLOCKS) == before


def test_a_gpu_that_is_gone_took_its_settings_with_it(
    kind: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = remembered(tmp_path, kind, "clocks", "locked 1980 1980")
    kind.write(CLOCKS, "locked 1980 1980")
    standin.show(tmp_path / "gpus", monkeypatch)
    assert [one.target for one in undone(log, kind).gone] == [CLOCKS]
    standin.show(tmp_path / "gpus", monkeypatch, LINE)
    assert kind.read(CLOCKS) == "default"


def test_a_driver_that_is_unloaded_took_its_settings_with_it(
    kind: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = remembered(tmp_path, kind, "persistence", "on")
    monkeypatch.setenv("NVML_STANDIN", str(tmp_path / "missing"))
    assert len(undone(log, kind).gone) == 1


@pytest.mark.parametrize(("loaded", "number"), [(True, errno.ELIBACC), (False, errno.ENODEV)])
def test_without_its_library_a_loaded_driver_keeps_what_was_set(tmp_path: Path, loaded: bool, number: int) -> None:
    if loaded:
        (tmp_path / "version").write_text("NVRM version\n")
    kind = Gpu("libnvidia-ml-that-is-not-here.so.1", locks=tmp_path, loaded=tmp_path / "version")
    with pytest.raises(OSError, match="is not installed") as e:
        kind.read(f"{GPU} persistence")
    assert e.value.errno == number


def test_an_old_driver_without_a_call_says_which() -> None:
    with pytest.raises(OSError, match="nvmlInit_v2: this driver does not have it"):
        Gpu("libc.so.6").read(f"{GPU} persistence")


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (f"{GPU} fan", "on"),
        (f"../{GPU} clocks", "default"),
        (" clocks", "default"),
        (f"{GPU} persistence", "yes"),
        (f"{GPU} compute-mode", None),
        (CLOCKS, "locked"),
        (CLOCKS, "locked 1 x"),
        (CLOCKS, None),
        (CLOCKS, "locked 1980 1410"),
    ],
)
def test_nonsense_is_refused_and_nothing_is_set(kind: Gpu, done: Path, target: str, value: str | None) -> None:
    with pytest.raises(OSError) as e:
        kind.write(target, value)
    assert e.value.errno == errno.EINVAL
    assert not done.exists()


def test_the_highest_clock_is_the_gpus_or_an_error(kind: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kind.highest_clock(GPU) == 1980
    standin.show(tmp_path / "gpus", monkeypatch, f"{GPU};GB10;;;;")
    with pytest.raises(OSError, match="Not Supported"):
        kind.highest_clock(GPU)


@pytest.mark.parametrize(
    ("setting", "value", "command"),
    [
        ("persistence", "off", f"nvidia-smi -i {GPU} -pm 0"),
        ("compute-mode", "default", f"nvidia-smi -i {GPU} -c 0"),
        ("clocks", "default", f"nvidia-smi -i {GPU} -rgc"),
        ("clocks", "locked 1410 1980", f"nvidia-smi -i {GPU} -lgc 1410,1980"),
    ],
)
def test_a_person_can_do_it_with_nvidia_smi(setting: str, value: str, command: str) -> None:
    assert Gpu("").command(f"{GPU} {setting}", value) == command
