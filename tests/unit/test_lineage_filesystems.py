"""The file systems of traces: only what is found at a place is believed to be there."""

import os
from pathlib import Path

import pytest

from mlosd.kernel.file_handle import name_to_handle_at
from mlosd.kernel.trace import Covered
from mlosd.lineage.filesystems import Filesystems

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="opening by handle is root's right")


def fsid(path: Path) -> str:
    return f"{os.statvfs(path).f_fsid:016x}"


def test_a_mount_that_only_the_job_had_is_not_what_we_find_at_its_path(tmp_path: Path) -> None:
    filesystems = Filesystems()
    filesystems.cover(Covered("00000000deadbeef", "tmpfs", os.fsencode(tmp_path)))
    assert filesystems.name("00000000deadbeef") == "fsid:00000000deadbeef"
    (tmp_path / "f").touch()
    with pytest.raises(FileNotFoundError):
        filesystems.open("00000000deadbeef", name_to_handle_at(tmp_path / "f"))


@needs_root
def test_a_file_system_that_is_mounted_elsewhere_now_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "f").write_text("x")
    handle, here = name_to_handle_at(tmp_path / "f"), fsid(tmp_path)
    filesystems = Filesystems()
    filesystems.cover(Covered(here, "ext4", os.fsencode(tmp_path / "old")))
    (tmp_path / "old").rmdir()
    with pytest.raises(FileNotFoundError):
        filesystems.open(here, handle)
    filesystems.cover(Covered(here, "ext4", os.fsencode(tmp_path)))
    os.close(filesystems.open(here, handle))


def test_what_is_gone_stays_unknown(tmp_path: Path) -> None:
    filesystems = Filesystems()
    filesystems.cover(Covered(fsid(tmp_path), "ext4", os.fsencode(tmp_path / "absent")))
    assert filesystems.name(fsid(tmp_path)).startswith("fsid:")
