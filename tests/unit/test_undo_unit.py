"""Properties and states of units, written by way of a fake PID 1, and put back."""

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.manager import INFINITY, Manager

from mlosd.undo.change import Change
from mlosd.undo.dbus import DBusError
from mlosd.undo.kinds.unit import Property, State
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import undo
from mlosd.undo.systemd import Systemd

CONTROL = "/run/systemd/system.control"
SET, CLEAR, RELOAD = "systemctl set-property --runtime", f"rm -f {CONTROL}", "systemctl daemon-reload"
CLEAR_CPUS = f"{CLEAR}/a.slice.d/50-AllowedCPUs.conf"
UNITS: dict[str, dict[str, Any]] = {
    "system.slice": {"CPUWeight": 100, "MemoryHigh": 1 << 30},
    "user.slice": {},
    "init.scope": {},
    "asleep.slice": {"ActiveState": "inactive"},
    "idle.slice": {"CPUWeight": 0, "AllowedCPUs": b"\x0f\x01"},
    "apt-daily.timer": {},
    "fstrim.timer": {"ActiveState": "inactive"},
    "broken.service": {"ActiveState": "failed"},
    "hidden.timer": {"LoadState": "masked", "ActiveState": "inactive"},
}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path, UNITS) as manager:
        yield manager


@pytest.fixture
def systemd(manager: Manager) -> Iterator[Systemd]:
    systemd = Systemd(manager.socket, manager.control)
    yield systemd
    systemd.close()


@pytest.fixture
def properties(systemd: Systemd, tmp_path: Path) -> Property:
    (tmp_path / "possible").write_text("0-7\n")
    return Property(systemd, possible=tmp_path / "possible")


@pytest.fixture
def states(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setattr(State, "PATIENCE", 0.1)
    return State(systemd)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("system.slice CPUWeight", "100"),
        ("system.slice MemoryHigh", str(1 << 30)),
        ("user.slice CPUWeight", "[not set]"),
        ("user.slice MemoryLow", "0"),
        ("user.slice AllowedCPUs", ""),
        ("idle.slice CPUWeight", "idle"),
        ("idle.slice AllowedCPUs", "0-3,8"),
        # Every slice can be loaded; nothing is in it.
        ("nobody.slice CPUWeight", "[not set]"),
    ],
)
def test_a_property_is_read_as_systemctl_shows_it(properties: Property, target: str, value: str) -> None:
    assert properties.read(target) == value


@pytest.mark.parametrize("target", ["gone.service CPUWeight", "system.slice NoSuchThing", "fstrim.timer CPUWeight"])
def test_a_property_that_is_not_there_says_so(properties: Property, target: str) -> None:
    with pytest.raises(OSError) as raised:
        properties.read(target)
    assert raised.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    ("target", "value", "on_the_bus"),
    [
        ("system.slice CPUWeight", "10 runtime", 10),
        ("system.slice CPUWeight", "idle runtime", 0),
        ("system.slice CPUWeight", "[not set] runtime", INFINITY),
        ("system.slice MemoryLow", "4096 runtime", 4096),
        ("user.slice AllowedCPUs", "0-1,9 runtime", b"\x03\x02"),
        ("user.slice CPUQuotaPerSecUSec", "500000 runtime", 500_000),
    ],
)
def test_a_property_is_set_until_the_next_boot(
    properties: Property, manager: Manager, target: str, value: str, on_the_bus: object
) -> None:
    unit, name = target.split()
    properties.write(target, value)
    assert properties.read(target) == value
    assert manager.units[unit][name] == on_the_bus
    assert manager.drop_in(unit, name).exists()
    properties.finish()
    assert not manager.called("Reload")


@pytest.mark.parametrize(
    ("target", "during"),
    [
        ("system.slice CPUWeight", "idle runtime"),
        ("user.slice CPUWeight", "10 runtime"),
        ("user.slice AllowedCPUs", "0-1 runtime"),
        ("idle.slice AllowedCPUs", "0 runtime"),
        ("user.slice CPUQuotaPerSecUSec", "500000 runtime"),
        ("user.slice MemoryLow", "4096 runtime"),
    ],
)
def test_putting_back_leaves_no_drop_in(properties: Property, manager: Manager, target: str, during: str) -> None:
    before = properties.read(target)
    properties.write(target, during)
    properties.write(target, before)
    assert properties.read(target) == before
    assert list(manager.control.glob("*")) == []
    properties.finish()
    properties.finish()
    assert properties.read(target) == before
    assert len(manager.called("Reload")) == 1


def test_an_empty_cpu_list_is_preceded_by_all_cpus(properties: Property, manager: Manager) -> None:
    """Else the kernel keeps the old ones (systemd issue 43846)."""
    properties.write("user.slice AllowedCPUs", "")
    written = [pairs[0][1].value for _, _, pairs in manager.called("SetUnitProperties")]
    assert written == [b"\xff", b""]


def test_a_runtime_drop_in_of_somebody_else_is_put_back(properties: Property, manager: Manager) -> None:
    properties.write("system.slice CPUWeight", "50 runtime")
    properties.write("system.slice CPUWeight", "10 runtime")
    properties.write("system.slice CPUWeight", "50 runtime")
    assert "50" in manager.drop_in("system.slice", "CPUWeight").read_text()


def test_other_drop_ins_of_the_unit_stay(properties: Property, manager: Manager) -> None:
    other = manager.drop_in("system.slice", "MemoryHigh")
    other.parent.mkdir(parents=True)
    other.write_text("[Slice]\nMemoryHigh=1G\n")
    properties.write("system.slice CPUWeight", "10 runtime")
    properties.write("system.slice CPUWeight", "100")
    assert list(other.parent.iterdir()) == [other]


@pytest.mark.parametrize("target", ["user.slice AllowedCPUs", "system.slice CPUWeight"])
def test_each_step_on_the_way_back_is_told_beforehand(
    properties: Property, manager: Manager, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever undoes after a crash in the middle of an undo must know what it finds as ours."""
    before = properties.read(target)
    seen = []
    actual = Systemd.set

    def watched(systemd: Systemd, unit: str, given: object) -> None:
        actual(systemd, unit, given)  # type: ignore[arg-type]
        seen.append(properties.read(target))

    properties.write(target, "1 runtime")
    monkeypatch.setattr(Systemd, "set", watched)
    properties.write(target, before)
    assert tuple(seen) == properties.passing(target, before)


@pytest.mark.parametrize(
    ("target", "value"), [("user.slice CPUWeight", "heavy runtime"), ("user.slice AllowedCPUs", "all runtime")]
)
def test_a_value_that_means_nothing_is_not_sent(
    properties: Property, manager: Manager, target: str, value: str
) -> None:
    with pytest.raises(OSError) as raised:
        properties.write(target, value)
    assert raised.value.errno == errno.EINVAL
    assert not manager.called("SetUnitProperties")


@pytest.mark.parametrize(
    ("target", "value", "command"),
    [
        ("user.slice CPUWeight", "idle runtime", f"{SET} user.slice CPUWeight=idle"),
        (
            "user.slice CPUQuotaPerSecUSec",
            "[not set]",
            f"{SET} user.slice CPUQuota=; {CLEAR}/user.slice.d/50-CPUQuota.conf; {RELOAD}",
        ),
        ("a.slice CPUQuotaPerSecUSec", "255000 runtime", f"{SET} a.slice CPUQuota=25.5%"),
        (
            "a.slice AllowedCPUs",
            "",
            f"{SET} a.slice AllowedCPUs=0-7; {SET} a.slice AllowedCPUs=; {CLEAR}/a.slice.d/50-AllowedCPUs.conf; "
            + RELOAD,
        ),
    ],
)
def test_the_command_to_paste_does_the_same(
    properties: Property, manager: Manager, target: str, value: str, command: str
) -> None:
    assert properties.command(target, value).replace(str(manager.control), CONTROL) == command


def test_what_is_undone_by_the_log_is_as_it_was(properties: Property, manager: Manager, tmp_path: Path) -> None:
    log = UndoLog(tmp_path / "undo.log", boot="b")
    change = Change("background-weight", "unit", "system.slice CPUWeight", "100", "idle runtime")
    log.append([change])
    properties.write(change.target, change.after)
    report = undo(log, {"unit": properties})
    assert [one.target for one in report.restored] == ["system.slice CPUWeight"]
    assert manager.units["system.slice"]["CPUWeight"] == 100


def test_what_somebody_set_meanwhile_is_left(properties: Property, manager: Manager, tmp_path: Path) -> None:
    log = UndoLog(tmp_path / "undo.log", boot="b")
    change = Change("background-weight", "unit", "system.slice CPUWeight", "100", "10 runtime")
    log.append([change])
    properties.write(change.target, change.after)
    properties.write(change.target, "77 runtime")
    report = undo(log, {"unit": properties})
    assert [one.now for one in report.kept] == ["77 runtime"]
    assert manager.units["system.slice"]["CPUWeight"] == 77


@pytest.mark.parametrize(
    ("unit", "state"), [("apt-daily.timer", "active"), ("fstrim.timer", "inactive"), ("broken.service", "inactive")]
)
def test_whether_a_unit_runs_is_read(states: State, unit: str, state: str) -> None:
    assert states.read(unit) == state


@pytest.mark.parametrize(("unit", "why"), [("nobody.timer", "no unit"), ("hidden.timer", "masked")])
def test_a_unit_that_cannot_run_says_so(states: State, unit: str, why: str) -> None:
    with pytest.raises(OSError, match=why) as raised:
        states.read(unit)
    assert raised.value.errno == errno.ENOENT


def test_a_unit_is_stopped_and_started_again(states: State) -> None:
    states.write("apt-daily.timer", "inactive")
    assert states.read("apt-daily.timer") == "inactive"
    states.write("apt-daily.timer", "active")
    assert states.read("apt-daily.timer") == "active"


def test_a_service_that_ends_with_an_error_when_stopped_is_still_ours_to_start(states: State, manager: Manager) -> None:
    states.write("apt-daily.timer", "inactive")
    manager.units["apt-daily.timer"]["ActiveState"] = "failed"
    assert states.same(states.read("apt-daily.timer"), "inactive")


def test_one_that_does_not_stop_is_not_waited_for_without_end(states: State, manager: Manager) -> None:
    manager.stuck.add("apt-daily.timer")
    states.write("apt-daily.timer", "inactive")
    assert states.read("apt-daily.timer") == "active"


def test_stopping_waits_until_it_is_over(states: State, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "PATIENCE", 5.0)
    manager.stuck.add("apt-daily.timer")
    manager.units["apt-daily.timer"]["ActiveState"] = "deactivating"
    threading.Timer(0.05, lambda: manager.units["apt-daily.timer"].update(ActiveState="inactive")).start()
    states.write("apt-daily.timer", "inactive")
    assert manager.units["apt-daily.timer"]["ActiveState"] == "inactive"


def test_starting_what_is_gone_is_enoent(states: State) -> None:
    with pytest.raises(OSError) as raised:
        states.write("nobody.timer", "active")
    assert raised.value.errno == errno.ENOENT


@pytest.mark.parametrize("member", ["SetUnitProperties", "StopUnit"])
def test_what_pid_1_refuses_is_said_in_its_words(
    properties: Property, states: State, manager: Manager, member: str
) -> None:
    manager.refuse[member] = "org.freedesktop.DBus.Error.AccessDenied"
    with pytest.raises(DBusError, match="AccessDenied: as the test says"):
        if member == "StopUnit":
            states.write("apt-daily.timer", "inactive")
        else:
            properties.write("system.slice CPUWeight", "10 runtime")


def test_a_call_that_was_broken_off_is_made_again(properties: Property, manager: Manager) -> None:
    manager.hang_up["SetUnitProperties"] = 2
    properties.write("system.slice CPUWeight", "10 runtime")
    assert properties.read("system.slice CPUWeight") == "10 runtime"
    assert len(manager.called("SetUnitProperties")) == 3


def test_pid_1_may_be_away_while_it_executes_itself_anew(properties: Property, manager: Manager) -> None:
    assert properties.read("system.slice CPUWeight") == "100"
    manager.leave()
    threading.Timer(0.2, manager.listen).start()
    assert properties.read("system.slice CPUWeight") == "100"


def test_pid_1_that_stays_away_is_waited_for_once(manager: Manager) -> None:
    systemd = Systemd(manager.socket, manager.control, patience=0.1)
    assert systemd.state("system.slice") == "active"
    manager.leave()
    with pytest.raises(OSError, match="systemd does not answer"):
        systemd.state("system.slice")
    start = time.monotonic()
    for _ in range(20):
        with pytest.raises(OSError, match="systemd does not answer"):
            systemd.state("system.slice")
    assert time.monotonic() - start < 0.1
    manager.listen()
    assert systemd.state("system.slice") == "active"
    systemd.close()


def test_where_there_is_no_systemd_nobody_waits(tmp_path: Path) -> None:
    systemd = Systemd(tmp_path / "nobody")
    assert not systemd.is_there()
    with pytest.raises(FileNotFoundError):
        systemd.state("system.slice")


def test_threads_do_not_take_each_others_answers(systemd: Systemd) -> None:
    wrong = []

    def ask(name: str, value: object) -> None:
        for _ in range(50):
            if (answer := systemd.resource("system.slice", name)) != value:
                wrong.append(answer)

    threads = [
        threading.Thread(target=ask, args=pair)
        for pair in [("CPUWeight", 100), ("MemoryHigh", 1 << 30), ("ControlGroup", "/system.slice")]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_slice_that_fell_asleep_is_put_back_by_its_drop_in_alone(manager: Manager, properties: Property) -> None:
    properties.write("asleep.slice CPUWeight", "10 runtime")
    asked = len(manager.called("SetUnitProperties"))
    properties.write("asleep.slice CPUWeight", "[not set]")
    assert not manager.drop_in("asleep.slice", "CPUWeight").exists()
    assert len(manager.called("SetUnitProperties")) == asked
    assert manager.called("Reload")
    assert properties.read("asleep.slice CPUWeight") == "[not set]"


def test_what_pid_1_wrote_among_the_transient_units_is_found_and_taken_away(
    manager: Manager, properties: Property
) -> None:
    properties.write("init.scope AllowedCPUs", "0-1 runtime")
    transient = manager.control.with_name("transient") / "init.scope.d/50-AllowedCPUs.conf"
    transient.parent.mkdir(parents=True)
    manager.drop_in("init.scope", "AllowedCPUs").rename(transient)
    assert properties.read("init.scope AllowedCPUs") == "0-1 runtime"
    properties.write("init.scope AllowedCPUs", "")
    assert (transient.exists(), properties.read("init.scope AllowedCPUs")) == (False, "")


def test_many_units_are_asked_about_in_one_question(manager: Manager, systemd: Systemd) -> None:
    asked = len(manager.calls)
    with systemd.listed(asking={"fstrim.timer"}):
        assert systemd.state("apt-daily.timer") == "active"
        assert systemd.state("nobody.timer", "LoadState") == "not-found"
        assert len(manager.calls) == asked + 1
        assert systemd.state("fstrim.timer") == "inactive"
        assert len(manager.calls) == asked + 2
    systemd.state("apt-daily.timer")
    assert len(manager.calls) == asked + 3


def test_a_reload_that_nobody_waits_for_is_carried_out(manager: Manager, systemd: Systemd) -> None:
    systemd.waits_for_reload = False
    systemd.reload()
    assert systemd.state("apt-daily.timer") == "active"  # what comes after it is answered after it
    assert manager.called("Reload")
