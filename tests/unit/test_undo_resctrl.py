"""Kinds of a resctrl group: one line among several, and a group that is not there."""

from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.undo.kinds import every, resctrl

SCHEMATA = "    L3:0=7ff;1=7ff\n  SMBA:0=2048;1=2048\n    MB:0= 50;1=100\n"


def test_one_line_is_read_without_its_blanks(tmp_path: Path) -> None:
    group = materialize(tmp_path, {"schemata": SCHEMATA})
    assert resctrl.Schemata().read(f"{group}/schemata MB") == "MB:0=50;1=100"
    assert resctrl.Schemata().read(f"{group}/schemata L3") == "L3:0=7ff;1=7ff"
    assert resctrl.values(group, "MB") == {"0": 50, "1": 100}


@pytest.mark.parametrize("text", ["", "\n", "max\n", "L3:0=7ff\n", "XMB:0=50\n"])
def test_a_resource_that_is_not_there_is_none(tmp_path: Path, text: str) -> None:
    group = materialize(tmp_path, {"schemata": text})
    assert resctrl.Schemata().read(f"{group}/schemata MB") is None
    assert resctrl.values(group, "MB") == {}


def test_a_group_that_is_not_there_reads_as_none(tmp_path: Path) -> None:
    assert resctrl.Schemata().read(f"{tmp_path}/gone/schemata MB") is None
    assert resctrl.Cpus().read(f"{tmp_path}/gone/cpus_list") is None


def test_only_the_one_line_is_written(tmp_path: Path) -> None:
    group = materialize(tmp_path, {"schemata": SCHEMATA})
    resctrl.Schemata().write(f"{group}/schemata MB", "MB:0=20;1=20")
    assert (group / "schemata").read_text() == "MB:0=20;1=20\n"


def test_nothing_is_written_to_what_went_with_its_group(tmp_path: Path) -> None:
    resctrl.Schemata().write(f"{tmp_path}/gone/schemata MB", None)
    resctrl.Cpus().write(f"{tmp_path}/gone/cpus_list", None)
    assert not (tmp_path / "gone").exists()


def test_a_group_that_went_away_cannot_be_given_cpus(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        resctrl.Cpus().write(f"{tmp_path}/gone/cpus_list", "0-3")


def test_lists_of_cpus_that_mean_the_same_are_the_same() -> None:
    assert resctrl.Cpus().same("0-2", "0,1-2")
    assert not resctrl.Cpus().same("0-2", "0-3")


def test_a_command_to_paste_has_the_file_without_the_resource() -> None:
    shown = every()["schemata"].command("/sys/fs/resctrl/mlos-background/schemata MB", "MB:0=100;1=100")
    assert shown == "echo 'MB:0=100;1=100' > /sys/fs/resctrl/mlos-background/schemata"
