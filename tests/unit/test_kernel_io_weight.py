"""Which disks heed io.weight, on small trees."""

from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.kernel.io_weight import heeding_disks


@pytest.mark.parametrize(
    ("tree", "disks"),
    [
        ({}, set()),
        ({"sys/block/sda/queue/scheduler": "mq-deadline kyber [bfq] none\n"}, {"sda"}),
        ({"sys/block/sda/queue/scheduler": "[mq-deadline] bfq none\n"}, set()),
        ({"cgroup/io.cost.qos": "8:0 enable=1 ctrl=user rpct=95.00\n8:16 enable=0 ctrl=auto\n"}, {"8:0"}),
        ({"cgroup/io.cost.qos": "\n", "sys/block/sda/queue/scheduler": "none\n"}, set()),
    ],
)
def test_a_disk_heeds_weights_with_bfq_or_blk_iocost(tmp_path: Path, tree: dict[str, str], disks: set[str]) -> None:
    (tmp_path / "cgroup").mkdir()
    root = materialize(tmp_path, tree)
    assert heeding_disks(root / "cgroup", root / "sys") == disks


def test_without_cgroups_no_disk_does(tmp_path: Path) -> None:
    assert heeding_disks(tmp_path / "nowhere", tmp_path / "sys") == frozenset()
