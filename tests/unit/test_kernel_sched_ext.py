"""Which BPF scheduler runs: none, one, one that is coming, one for some tasks only."""

from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.kernel import sched_ext

STATE, OPS, ALL = "kernel/sched_ext/state", "kernel/sched_ext/root/ops", "kernel/sched_ext/switch_all"


def test_a_loaded_scheduler_is_named(tmp_path: Path) -> None:
    tree = materialize(tmp_path, {STATE: "enabled\n", ALL: "1\n", OPS: "bpfland_1.0.4_x86_64\n"})
    assert sched_ext.scheduler(tree) == "bpfland_1.0.4_x86_64"


def test_a_kernel_without_sched_ext_has_none(tmp_path: Path) -> None:
    assert sched_ext.scheduler(tmp_path) is None


@pytest.mark.parametrize("state", ["disabled\n", "enabling\n", "disabling\n", "max\n", "\n", ""])
def test_one_that_is_not_enabled_is_none(tmp_path: Path, state: str) -> None:
    assert sched_ext.scheduler(materialize(tmp_path, {STATE: state, OPS: "lavd\n"})) is None


def test_one_for_some_tasks_only_leaves_the_others_to_their_weights(tmp_path: Path) -> None:
    assert sched_ext.scheduler(materialize(tmp_path, {STATE: "enabled\n", ALL: "0\n", OPS: "nest\n"})) is None


def test_a_scheduler_whose_name_is_gone_already_still_counts(tmp_path: Path) -> None:
    assert sched_ext.scheduler(materialize(tmp_path, {STATE: "enabled\n"})) == "sched_ext"
