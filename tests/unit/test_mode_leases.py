"""Leases merged, written down and read again; profiles; what the administrator pinned; fights."""

import json
from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.core.errors import BadConfig, BadRequest, NotFound
from mlosd.mode import memory
from mlosd.mode.lease import Lease, merged
from mlosd.mode.pins import Pins
from mlosd.mode.profile import Profiles, typed
from mlosd.mode.scene import Host, Setting
from mlosd.mode.watched import Fights, files, slice_path


def lease(id_: int, *, settings: dict[str, Setting] | None = None, **more: object) -> Lease:
    return Lease(id_, f"lease {id_}", 0, "training", settings or {}, **more)  # type: ignore[arg-type]


def test_no_lease_wishes_nothing() -> None:
    wish = merged([])
    assert (wish.is_on, wish.settings, wish.pinned) == (False, {}, frozenset())


def test_all_who_ask_are_heard() -> None:
    one = lease(1, settings={"a": 1}, cpus=(1, 2), memory=5, gpus=("g",), headroom=5.0)
    two = lease(2, settings={"b": 2}, cpus=(3,), memory=7, headroom=2.0)
    wish = merged([two, one])
    assert wish.settings == {"a": 1, "b": 2}
    assert (wish.pinned, wish.memory) == (frozenset({1, 2, 3}), 12)
    assert (wish.gpus, wish.headroom, wish.notes) == (("g",), 2.0, ())


def test_of_two_who_contradict_each_other_the_first_is_heard_and_the_other_is_told() -> None:
    wish = merged([lease(2, settings={"a": 2}), lease(1, settings={"a": 1})])
    assert wish.settings == {"a": 1}
    assert wish.notes == ("a: 2 of lease 2 waits, 1 of 1 was first",)


def test_what_is_written_down_is_read_again(tmp_path: Path) -> None:
    kept = [lease(1, settings={"a": "x"}, cpus=(1,)), lease(4, job=9, pid=1, starttime=3, gpus=("g",))]
    memory.save(tmp_path, kept, frozen=[7, 3])
    assert memory.leases(tmp_path) == kept
    assert memory.frozen(tmp_path) == [3, 7]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"leases": 3}', '{"leases": [{"id": 1}]}'])
def test_a_damaged_record_of_leases_has_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "leases.json").write_text(text)
    assert memory.leases(tmp_path) == []
    assert memory.frozen(tmp_path) == []


def test_a_lease_whose_process_is_gone_is_not_taken_up(tmp_path: Path) -> None:
    memory.save(tmp_path, [lease(1, pid=4194303, starttime=1), lease(2, until=1.0), lease(3)])
    assert [one.id for one in memory.leases(tmp_path)] == [3]
    assert json.loads((tmp_path / "leases.json").read_text())["leases"][2]["held"] is True


def profiles(tmp_path: Path, shipped: dict[str, str], own: dict[str, str] | None = None) -> Profiles:
    materialize(tmp_path / "shipped", shipped)
    materialize(tmp_path / "etc", own or {})
    return Profiles((tmp_path / "shipped", tmp_path / "etc"))


BASE = 'summary = "s"\n[knobs]\nswappiness = 10\nscaling-governor = "performance"\n[headroom]\ntarget = 5.0\n'


def test_a_profile_inherits_and_switches_off(tmp_path: Path) -> None:
    mine = 'inherits = "base"\n[knobs]\nscaling-governor = false\nswappiness = 20\n'
    found = profiles(tmp_path, {"base.toml": BASE, "mine.toml": mine}).find("mine")
    assert (found.settings, found.headroom) == ({"swappiness": 20}, 5.0)


def test_the_administrators_profile_may_inherit_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    own = {"base.toml": 'inherits = "base"\n[knobs]\nswappiness = 1\n[headroom]\ntarget = false\n'}
    found = profiles(tmp_path, {"base.toml": BASE}, own).find("base")
    assert found.settings == {"swappiness": 1, "scaling-governor": "performance"}
    assert (found.headroom, found.file) == (None, str(tmp_path / "etc/base.toml"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("knobs = 3", "knobs is a table"),
        ("[knob]", "unknown key knob"),
        ("[knobs]\nswapiness = 3", "swapiness"),
        ("[knobs]\nswappiness = -1", "swappiness"),
        ('inherits = "nobody"', "no profile 'nobody'"),
        ('inherits = "../x"', "not the name of a profile"),
        ('inherits = "bad"', "no profile 'bad'"),
        ("[headroom]\ntarget = 400", "not a percentage"),
        ("= 3", "bad.toml"),
    ],
)
def test_a_broken_profile_says_where(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadConfig, match=says) as error:
        profiles(tmp_path, {"bad.toml": text}).find("bad")
    assert "bad.toml" in error.value.message


def test_profiles_that_inherit_each_other_are_refused(tmp_path: Path) -> None:
    circle = {"a.toml": 'inherits = "b"\n', "b.toml": 'inherits = "a"\n'}
    with pytest.raises(BadConfig, match="inherit each other"):
        profiles(tmp_path, circle).find("a")


def test_an_unknown_profile_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as error:
        profiles(tmp_path, {"training.toml": BASE}).find("trainig")
    assert error.value.hint == "did you mean training?"
    with pytest.raises(NotFound):
        profiles(tmp_path, {}).find("../../etc/passwd")


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=1", ("a", 1)), ("a=true", ("a", True)), ("a=word", ("a", "word")), ('a="x y"', ("a", "x y"))],
)
def test_settings_are_typed_as_people_write_them(text: str, value: object) -> None:
    assert typed(text) == value


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_what_is_no_setting_is_said(text: str) -> None:
    with pytest.raises(BadRequest, match="knob=value"):
        typed(text)


def test_pins_are_what_the_settings_and_the_files_of_the_administrator_say(tmp_path: Path) -> None:
    etc = materialize(
        tmp_path,
        {
            "sysctl.d/50.conf": "# x\nvm.swappiness=5\n-vm/dirty_ratio = 3\n",
            "sysctl.conf": "kernel.numa_balancing = 0\nnonsense\n",
            "systemd/system/system.slice.d/a.conf": "[Slice]\nCPUWeight=50\nIOWeight=\n",
            "systemd/system.control/user.slice.d/50-CPUQuota.conf": "[Slice]\nCPUQuota=50%\n",
        },
    )
    pins = Pins(["read-ahead", "/sys/*/thp"], etc=etc)
    assert pins("read-ahead", "/sys/x") is not None
    assert pins("any", "/sys/kernel/thp") is not None
    assert "50.conf" in (pins("swappiness", "/proc/sys/vm/swappiness") or "")
    assert pins("dirty-limits", "/proc/sys/vm/dirty") is not None
    assert pins("numa", "/proc/sys/kernel/numa_balancing") is not None
    assert pins("w", "system.slice CPUWeight") is not None
    assert pins("w", "user.slice CPUQuotaPerSecUSec") is not None
    assert pins("w", "system.slice IOWeight") is None
    assert pins("dirty-background", "/proc/sys/vm/dirty_background") is None


def test_a_target_shows_in_the_file_that_the_kernel_keeps() -> None:
    host = Host()
    assert files("text", "/sys/a", host) == [Path("/sys/a")]
    assert files("pair", "/proc/sys/vm/dirty", host)[1] == Path("/proc/sys/vm/dirty_ratio")
    assert files("unit", "mlos-ci.slice CPUWeight", host) == [
        Path("/sys/fs/cgroup/mlos.slice/mlos-ci.slice/cpu.weight")
    ]
    assert files("unit", "a.slice Unknown", host) == files("gpu", "GPU-1 clocks", host) == []
    assert slice_path("init.scope") == Path("init.scope")


def test_a_target_is_fought_for_so_often_and_no_more() -> None:
    fights = Fights(2)
    assert [fights.go_on(("a", "b")) for _ in range(3)] == [True, True, False]
    assert fights.go_on(("other", "b"))
    fights.forget()
    assert fights.go_on(("a", "b"))
