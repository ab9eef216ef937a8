"""The profiles that are shipped: each can be read, and says why of each knob; none does what its name denies."""

import re

import pytest

from mlosd.core import data
from mlosd.mode import knobs
from mlosd.mode.profile import Profile, Profiles

FOLDER = data.path("profiles")
NAMES = ("ci-night", "quiet-desktop", "serving-safe", "training")


def profile(name: str) -> Profile:
    return Profiles([FOLDER]).find(name)


def test_there_are_these_profiles() -> None:
    assert Profiles([FOLDER]).names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_read_and_every_setting_is_accepted(name: str) -> None:
    found = profile(name)
    assert found.settings
    assert "\n" not in found.summary


@pytest.mark.parametrize("name", NAMES)
def test_every_knob_has_its_reason_above_it(name: str) -> None:
    lines = (FOLDER / f"{name}.toml").read_text("utf-8").splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r"[a-z-]+ = ", line)]
    for number in settings:
        if not lines[number].startswith(("summary", "inherits")):
            assert lines[number - 1].startswith("# "), lines[number]


def test_training_sets_every_core_knob() -> None:
    core = {name for name, one in knobs.described().items() if one.knob.use == "core"}
    assert core <= profile("training").settings.keys()


def test_what_changes_what_people_feel_is_in_the_quiet_desktop_only() -> None:
    assert set(profile("quiet-desktop").opt_in) == {"keyboard-buffer", "pointers-off", "screen-rate"}
    assert not any(profile(name).opt_in for name in NAMES if name != "quiet-desktop")


def test_a_service_beside_training_keeps_its_cpus_its_weight_and_its_interrupts() -> None:
    found = profile("serving-safe")
    taken = [name for name in found.settings if name.startswith(("background-", "irq", "default-irq", "resctrl"))]
    assert taken == []
    assert found.headroom is None


def test_only_training_has_a_target_for_headroom() -> None:
    assert {name: profile(name).headroom for name in NAMES} == {
        "ci-night": None,
        "quiet-desktop": 5.0,
        "serving-safe": None,
        "training": 5.0,
    }


def test_by_night_nothing_holds_ci_back() -> None:
    assert not {"background-weight", "background-cpus", "background-io-weight"} & profile("ci-night").settings.keys()
