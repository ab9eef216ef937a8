"""Files of /proc: mountinfo, meminfo and pressure; well-formed, missing, malformed."""

from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.kernel import meminfo, mountinfo, psi

ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
DATA = "40 27 8:1 /sub /data\\040sets rw,nosuid shared:5 master:1 - xfs /dev/sda1 ro\n"
OVER = "50 40 0:60 / /data\\040sets rw - tmpfs  rw,size=4k\n"


def test_a_mount_is_read_with_spaces_in_its_name() -> None:
    _, data = mountinfo.parse(ROOT + DATA)
    assert data.target == Path("/data sets")
    assert (data.id, data.parent, data.device, data.root) == (40, 27, "8:1", "/sub")
    assert (data.fstype, data.source, data.shared, data.read_only) == ("xfs", "/dev/sda1", True, True)


def test_a_mount_with_an_empty_source_is_read() -> None:
    (over,) = mountinfo.parse(OVER)
    assert (over.fstype, over.source, over.shared, over.read_only) == ("tmpfs", "", False, False)


def test_the_last_of_two_mounts_at_one_place_is_the_visible_one() -> None:
    assert [mount.id for mount in mountinfo.visible(mountinfo.parse(ROOT + DATA + OVER))] == [27, 50]


def test_a_path_belongs_to_the_deepest_mount_above_it() -> None:
    mounts = mountinfo.parse(ROOT + DATA)
    for path, number in (("/data sets/a/b", 40), ("/data", 27), ("/data sets", 40)):
        mount = mountinfo.of(Path(path), mounts)
        assert mount is not None
        assert mount.id == number


@pytest.mark.parametrize("line", ["nonsense", "x 1 254:0 / / rw - ext4 a rw", "27 1 254:0 / / rw ext4 a rw"])
def test_a_malformed_mount_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="mountinfo"):
        mountinfo.parse(line)


def test_mounts_are_read_from_proc(tmp_path: Path) -> None:
    assert len(mountinfo.read(materialize(tmp_path, {"self/mountinfo": ROOT + DATA}))) == 2
    with pytest.raises(FileNotFoundError):
        mountinfo.read(tmp_path / "nowhere")


MEMORY = "MemTotal: 16 kB\nMemFree: 4 kB\nMemAvailable: 8 kB\nSwapTotal: 2 kB\nSwapFree: 1 kB\nHugePages_Total: 0\n"


def test_memory_is_counted_in_bytes(tmp_path: Path) -> None:
    found = meminfo.read(materialize(tmp_path, {"meminfo": MEMORY}))
    assert found == meminfo.Meminfo(total=16384, free=4096, available=8192, swap_total=2048, swap_free=1024)


@pytest.mark.parametrize("text", ["", MEMORY.replace("16 kB", "16"), MEMORY.replace("16", "max"), "MemTotal: 1 MB\n"])
def test_malformed_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MemTotal"):
        meminfo.parse(text)


def test_missing_memory_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        meminfo.read(tmp_path)


SOME = "some avg10=0.58 avg60=0.50 avg300=0.33 total=7280711\n"


def test_pressure_is_read(tmp_path: Path) -> None:
    materialize(tmp_path, {"pressure/io": SOME + "full avg10=0.10 avg60=0.00 avg300=0.00 total=5\n"})
    found = psi.read("io", tmp_path)
    assert found.some == psi.Stall(avg10=0.58, avg60=0.5, avg300=0.33, total_us=7280711)
    assert found.full is not None
    assert found.full.total_us == 5


def test_an_older_kernel_has_no_full_cpu_pressure() -> None:
    assert psi.parse(SOME).full is None


@pytest.mark.parametrize("text", ["", "full avg10=0 avg60=0 avg300=0 total=0\n", "some avg10=0\n", "some\n", "\n"])
def test_malformed_pressure_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="pressure"):
        psi.parse(text)


def test_pressure_that_is_compiled_off_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        psi.read("cpu", tmp_path)
