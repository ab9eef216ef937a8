"""What the knobs want that go through systemd, of small machines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.manager import Manager
from tests.fakes.tree import materialize

from mlosd.kernel.topology import Cpu, Topology
from mlosd.mode.knob import Cannot, Knob, Want, Wish
from mlosd.mode.knobs import (
    background_cpus,
    background_io_weight,
    background_weight,
    irqbalance,
    mlos_io_weight,
    mlos_memory_low,
    mlos_weight,
    postpone_maintenance,
)
from mlosd.mode.scene import Host, Scene, Setting
from mlosd.undo.kind import Kind
from mlosd.undo.kinds.unit import Property, State
from mlosd.undo.systemd import Systemd

FOUR = Topology(tuple(Cpu(number, number, 0, 0) for number in range(4)))
BACKGROUND = ["system.slice", "user.slice", "machine.slice", "mlos-ci.slice", "mlos-data.slice"]
GIB = 1 << 20  # in kB, as /proc/meminfo counts
UNITS: dict[str, dict[str, Any]] = {
    **{unit: {} for unit in (*BACKGROUND, "mlos.slice")},
    "asleep.slice": {"ActiveState": "inactive"},
    "init.scope": {},
    "apt-daily.timer": {},
    "man-db.timer": {"ActiveState": "inactive"},
    "logrotate.timer": {"LoadState": "masked", "ActiveState": "inactive"},
    "backup.timer": {},
    "irqbalance.service": {},
}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path, UNITS) as manager:
        yield manager


@pytest.fixture
def pid1(manager: Manager) -> Iterator[Systemd]:
    pid1 = Systemd(manager.socket, manager.control)
    yield pid1
    pid1.close()


def _scene(root: Path, pid1: Systemd | None, tree: dict[str, str] | None = None, **given: Any) -> Scene:
    materialize(root, tree or {})
    return Scene(Host(sys=root / "sys", proc=root / "proc", pid1=pid1), FOUR, **given)


def _wishes(knob: Knob, setting: Setting, scene: Scene) -> list[Wish]:
    knob.accepts(setting)
    return list(knob.wishes(setting, scene))


def _wanted(wishes: list[Wish]) -> dict[str, str | None]:
    return {wish.target: wish.value for wish in wishes if isinstance(wish, Want)}


def _reasons(wishes: list[Wish]) -> dict[str, str]:
    return {wish.target: wish.reason for wish in wishes if isinstance(wish, Cannot)}


def test_a_slice_that_is_not_active_is_left_asleep(tmp_path: Path, pid1: Systemd) -> None:
    scene = _scene(tmp_path, pid1, slice_="asleep.slice")
    [wish] = _wishes(mlos_weight.KNOB, 10_000, scene)
    assert wish == Cannot("asleep.slice CPUWeight", "nothing runs there now")


def test_training_gets_its_weight(tmp_path: Path, pid1: Systemd) -> None:
    wishes = _wishes(mlos_weight.KNOB, 10_000, _scene(tmp_path, pid1))
    assert wishes == [Want("unit", "mlos.slice CPUWeight", "10000 runtime")]


@pytest.mark.parametrize("setting", [20, "idle"])
def test_everything_else_gets_its_weight(tmp_path: Path, pid1: Systemd, setting: Setting) -> None:
    wishes = _wishes(background_weight.KNOB, setting, _scene(tmp_path, pid1))
    assert _wanted(wishes) == {f"{unit} CPUWeight": f"{setting} runtime" for unit in BACKGROUND}


@pytest.mark.parametrize(
    ("member", "left_alone"),
    [
        ("/user.slice/user-1000.slice/session-2.scope", "user.slice"),
        ("/mlos.slice/mlos-ci.slice/mlos-job-7.service", "mlos-ci.slice"),
        ("/system.slice", "system.slice"),
        ("/system.slicer/x.service", None),
        ("/mlos.slice/mlos-dev.slice/mlos-job-7.service", None),
    ],
)
@pytest.mark.parametrize("knob", [background_weight.KNOB, background_cpus.KNOB, background_io_weight.KNOB])
def test_nothing_is_taken_from_a_slice_that_training_is_in(
    tmp_path: Path, pid1: Systemd, knob: Knob, member: str, left_alone: str | None
) -> None:
    setting = True if knob is background_cpus.KNOB else 20
    scene = _scene(tmp_path, pid1, members=(member,), training=frozenset({2, 3}))
    reasons = _reasons(_wishes(knob, setting, scene))
    assert [target.split()[0] for target in reasons] == [left_alone] * (left_alone is not None)
    assert set(reasons.values()) <= {"training itself runs there"}


def test_everything_else_keeps_off_the_training_cpus(tmp_path: Path, pid1: Systemd) -> None:
    wishes = _wishes(background_cpus.KNOB, True, _scene(tmp_path, pid1, training=frozenset({1, 2})))
    assert _wanted(wishes) == {f"{unit} AllowedCPUs": "0,3 runtime" for unit in [*BACKGROUND, "init.scope"]}


@pytest.mark.parametrize("training", [frozenset(), frozenset(range(4))])
def test_cpus_are_only_divided_where_both_sides_get_some(
    tmp_path: Path, pid1: Systemd, training: frozenset[int]
) -> None:
    wishes = _wishes(background_cpus.KNOB, True, _scene(tmp_path, pid1, training=training))
    assert list(_reasons(wishes)) == ["AllowedCPUs"]
    assert len(wishes) == 1


def test_background_has_its_cpus_back_before_its_weight() -> None:
    assert background_cpus.KNOB.rank < background_weight.KNOB.rank


@pytest.mark.parametrize(
    ("tree", "void"),
    [
        ({}, "no disk here has BFQ or iocost on"),
        ({"sys/block/sda/queue/scheduler": "mq-deadline [bfq] none\n"}, None),
    ],
)
@pytest.mark.parametrize("knob", [mlos_io_weight.KNOB, background_io_weight.KNOB])
def test_a_disk_weight_that_no_disk_heeds_is_void(
    tmp_path: Path, pid1: Systemd, knob: Knob, tree: dict[str, str], void: str | None
) -> None:
    wishes = _wishes(knob, 200, _scene(tmp_path, pid1, tree))
    assert {wish.void for wish in wishes if isinstance(wish, Want)} == {void}
    assert {wish.value for wish in wishes if isinstance(wish, Want)} == {"200 runtime"}


def _meminfo(gib: float) -> dict[str, str]:
    kb = int(gib * GIB)
    return {
        "proc/meminfo": f"MemTotal: {kb} kB\nMemFree: {kb} kB\nMemAvailable: {kb} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    }


@pytest.mark.parametrize(
    ("setting", "asked", "others", "gib"),
    [
        ("auto", None, {}, 4),
        ("auto", 6 << 30, {}, 6),
        ("auto", 100 << 30, {}, 8),
        (10, None, {}, 1.6),
        (80, 1 << 30, {}, 12.8),
        # What others are promised is not promised again: 80 % of 16 GiB less 10.
        ("auto", None, {"sys/fs/cgroup/system.slice/memory.low": f"{10 << 30}\n"}, 2.8),
        ("auto", None, {"sys/fs/cgroup/system.slice/memory.min": f"{10 << 30}\n"}, 2.8),
        ("auto", None, {"sys/fs/cgroup/mlos.slice/memory.low": f"{10 << 30}\n"}, 4),
    ],
)
def test_memory_is_protected_and_never_promised_twice(  # noqa: PLR0917 - pytest passes them by name
    tmp_path: Path, pid1: Systemd, setting: Setting, asked: int | None, others: dict[str, str], gib: float
) -> None:
    scene = _scene(tmp_path, pid1, _meminfo(16) | others, memory=asked)
    mib = int(gib * 1024)
    assert _wanted(_wishes(mlos_memory_low.KNOB, setting, scene)) == {"mlos.slice MemoryLow": f"{mib << 20} runtime"}


@pytest.mark.parametrize(
    "tree", [{}, {"proc/meminfo": "MemFree: 1 kB\n"}, _meminfo(16) | {"sys/fs/cgroup/a.slice/memory.low": "lots\n"}]
)
def test_what_cannot_be_understood_is_not_guessed(tmp_path: Path, pid1: Systemd, tree: dict[str, str]) -> None:
    """`plan` makes a reason of it."""
    with pytest.raises((OSError, ValueError)):
        _wishes(mlos_memory_low.KNOB, "auto", _scene(tmp_path, pid1, tree))


def test_where_all_memory_is_promised_nothing_is_left(tmp_path: Path, pid1: Systemd) -> None:
    scene = _scene(tmp_path, pid1, _meminfo(16) | {"sys/fs/cgroup/system.slice/memory.low": "max\n"})
    assert _reasons(_wishes(mlos_memory_low.KNOB, "auto", scene)) == {
        "mlos.slice MemoryLow": "the memory is promised to others already"
    }


def test_timers_that_this_machine_has_are_stopped(tmp_path: Path, pid1: Systemd) -> None:
    """Also one that does not run: what was stopped before must stay wanted."""
    wishes = _wishes(postpone_maintenance.KNOB, True, _scene(tmp_path, pid1))
    assert _wanted(wishes) == {"apt-daily.timer": "inactive", "man-db.timer": "inactive"}
    assert not _reasons(wishes)


def test_timers_that_a_profile_names_are_stopped_instead(tmp_path: Path, pid1: Systemd) -> None:
    wishes = _wishes(postpone_maintenance.KNOB, {"units": ["backup.timer", "gone.timer"]}, _scene(tmp_path, pid1))
    assert _wanted(wishes) == {"backup.timer": "inactive"}
    assert _reasons(wishes) == {"gone.timer": "there is no such unit"}


@pytest.mark.parametrize(
    "setting", [False, "yes", {}, {"units": "a.timer"}, {"units": ["sshd.service"]}, {"units": ["../a.timer"]}]
)
def test_nothing_but_timers_is_stopped_by_a_profile(setting: Setting) -> None:
    with pytest.raises(ValueError, match="timers and paths only"):
        postpone_maintenance.KNOB.accepts(setting)


def test_irqbalance_rests_while_training_has_cpus_of_its_own(tmp_path: Path, pid1: Systemd) -> None:
    scene = _scene(tmp_path, pid1, training=frozenset({2, 3}))
    assert _wishes(irqbalance.KNOB, "inactive", scene) == [Want("unit-state", "irqbalance.service", "inactive")]
    assert _reasons(_wishes(irqbalance.KNOB, "inactive", _scene(tmp_path, pid1)))


def test_where_irqbalance_is_not_installed_nothing_is_said(tmp_path: Path) -> None:
    with Manager(tmp_path) as manager:
        pid1 = Systemd(manager.socket)
        assert _wishes(irqbalance.KNOB, "inactive", _scene(tmp_path, pid1, training=frozenset({2}))) == []
        pid1.close()


@pytest.mark.parametrize(
    ("knob", "setting"),
    [
        (mlos_weight.KNOB, 10_000),
        (mlos_io_weight.KNOB, 10_000),
        (mlos_memory_low.KNOB, "auto"),
        (background_weight.KNOB, "idle"),
        (background_io_weight.KNOB, 10),
        (background_cpus.KNOB, True),
        (postpone_maintenance.KNOB, True),
        (irqbalance.KNOB, "inactive"),
    ],
)
def test_without_systemd_there_is_nobody_to_ask(tmp_path: Path, knob: Knob, setting: Setting) -> None:
    wishes = _wishes(knob, setting, _scene(tmp_path, None, _meminfo(16), training=frozenset({2, 3})))
    assert wishes
    assert set(_reasons(wishes).values()) == {"PID 1 is not systemd: nobody else may set a slice"}


@pytest.mark.parametrize(
    ("knob", "setting"),
    [
        (mlos_weight.KNOB, 0),
        (mlos_weight.KNOB, "idle"),
        (background_weight.KNOB, "low"),
        (background_weight.KNOB, 10_001),
        (background_weight.KNOB, True),
        (mlos_memory_low.KNOB, 81),
        (mlos_memory_low.KNOB, 0),
        (mlos_memory_low.KNOB, "half"),
        (background_cpus.KNOB, "0-3"),
        (irqbalance.KNOB, True),
    ],
)
def test_a_setting_that_makes_no_sense_is_not_accepted(knob: Knob, setting: Setting) -> None:
    with pytest.raises(ValueError):
        knob.accepts(setting)


def test_what_is_wanted_can_be_written_and_put_back(tmp_path: Path, manager: Manager, pid1: Systemd) -> None:
    (tmp_path / "possible").write_text("0-3\n")
    kinds: dict[str, Kind] = {"unit": Property(pid1, possible=tmp_path / "possible"), "unit-state": State(pid1)}
    scene = _scene(tmp_path, pid1, _meminfo(16), training=frozenset({2, 3}))
    settings: list[tuple[Knob, Setting]] = [
        (mlos_weight.KNOB, 10_000),
        (mlos_io_weight.KNOB, 10_000),
        (mlos_memory_low.KNOB, "auto"),
        (background_weight.KNOB, "idle"),
        (background_io_weight.KNOB, 10),
        (background_cpus.KNOB, True),
        (postpone_maintenance.KNOB, True),
        (irqbalance.KNOB, "inactive"),
    ]
    wants = [wish for knob, setting in settings for wish in _wishes(knob, setting, scene) if isinstance(wish, Want)]
    before = {wish.target: kinds[wish.kind].read(wish.target) for wish in wants}
    for wish in wants:
        kinds[wish.kind].write(wish.target, wish.value)
        assert kinds[wish.kind].read(wish.target) == wish.value
    for wish in reversed(wants):
        kinds[wish.kind].write(wish.target, before[wish.target])
    assert {wish.target: kinds[wish.kind].read(wish.target) for wish in wants} == before
    assert list(manager.control.glob("*")) == []
