"""fstat(2) without the C library says what it says with it."""

import os
from pathlib import Path

import pytest

from mlosd.kernel.fstat import fstat


def test_a_file_has_its_size_and_times(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    os.utime(path, ns=(5, -1_500_000_001))
    with path.open("rb") as file:
        status, expected = fstat(file.fileno()), os.fstat(file.fileno())
    assert (status.mode, status.size) == (expected.st_mode, 5)
    assert (status.mtime_ns, status.ctime_ns) == (expected.st_mtime_ns, expected.st_ctime_ns)
    assert status.is_regular


def test_a_directory_is_no_regular_file_and_a_closed_descriptor_is_an_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    assert not fstat(fd).is_regular
    os.close(fd)
    with pytest.raises(OSError, match=f"fd {fd}"):
        fstat(fd)
