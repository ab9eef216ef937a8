"""What the keeper sees of a job: which files, in what order, under which names. native/observe.c, sight.c, look.c."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.fakes import observed
from tests.fakes.observed import observe

from mlosd.kernel.file_handle import name_to_handle_at
from mlosd.kernel.trace import Again, Begin, Closed, Covered, End, Exited, File, Renamed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may observe mounts")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory in which a job runs, on a file system of this machine."""
    path = tmp_path / "place"
    path.mkdir()
    return path


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-E", "-c", code)


def shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def test_a_trace_begins_with_the_time_and_ends_when_nothing_is_left(place: Path) -> None:
    before = time.time_ns()
    seen = observe(place, "true")
    assert isinstance(seen.records[0], Begin)
    assert before <= seen.records[0].realtime_ns <= time.time_ns()
    assert isinstance(seen.records[-1], End)
    assert seen.exit.code == 0
    assert any(isinstance(record, Covered) and record.mount_point == b"/" for record in seen.records)


def test_what_is_read_written_and_run_is_seen(place: Path) -> None:
    (place / "in").write_text("in\n")
    seen = observe(place, *shell("cat in >out"))
    read, written = seen.paths[bytes(place / "in")], seen.paths[bytes(place / "out")]
    assert read.modes == "r"
    assert (read.inode, read.size) == ((place / "in").stat().st_ino, 3)
    closed = [record for record in seen.of(place / "out") if isinstance(record, Closed)]
    status = (place / "out").stat()
    assert [(c.size, c.mtime_ns, c.ctime_ns) for c in closed[-1:]] == [(3, status.st_mtime_ns, status.st_ctime_ns)]
    assert written.inode == status.st_ino
    [cat] = [file for path, file in seen.paths.items() if path.endswith(b"/cat")]
    assert "x" in cat.modes
    assert seen.is_complete, seen.reasons


def test_a_handle_opens_the_file_that_was_seen(place: Path) -> None:
    seen = observe(place, *shell("echo 1 >out"))
    file = seen.paths[bytes(place / "out")]
    for path, kind, handle in (
        (place / "out", file.handle_type, file.handle),
        (place, file.parent_type, file.parent),
    ):
        own = name_to_handle_at(path)
        assert (own.type, own.bytes) == (kind, handle)
    assert int(file.filesystem, 16) == os.statvfs(place).f_fsid


def test_a_file_that_is_saved_aside_and_renamed_gets_its_name(place: Path) -> None:
    seen = observe(place, *shell("echo 1 >model.tmp; mv model.tmp 'the model'"))
    assert [r.path for r in seen.of(place / "model.tmp") if isinstance(r, Renamed)] == [bytes(place / "the model")]


def test_a_directory_that_is_renamed_takes_its_files_along(place: Path) -> None:
    seen = observe(place, *shell("mkdir tmp-1; echo 1 >tmp-1/model; sleep 0.05; mv tmp-1 checkpoint-1"))
    assert bytes(place / "checkpoint-1/model") in seen.paths


def test_a_file_without_a_name_that_is_linked_has_the_name(place: Path) -> None:
    code = (
        "import os, ctypes\n"
        "fd = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(fd, b'abc')\n"
        "ctypes.CDLL(None).linkat(-100, f'/proc/self/fd/{fd}'.encode(), -100, b'linked', 0x400)\n"
    )
    seen = observe(place, *python(code))
    assert bytes(place / "linked") in seen.paths
    assert not any(b"/#" in path for path in seen.paths)


def test_what_is_written_through_a_mapping_is_seen_in_the_end(place: Path) -> None:
    code = (
        "import mmap, time\n"
        "with open('mapped', 'wb+') as f: f.truncate(4096); m = mmap.mmap(f.fileno(), 4096)\n"
        "time.sleep(0.05); m[0:3] = b'new'; m.flush()\n"
    )
    seen = observe(place, *python(code))
    [*_, last] = [record for record in seen.of(place / "mapped") if isinstance(record, Closed)]
    assert last.mtime_ns == (place / "mapped").stat().st_mtime_ns


def test_each_close_after_writing_is_told_and_so_is_each_use_after_it(place: Path) -> None:
    seen = observe(place, *shell("for i in 1 2 3; do echo $i >>log; sleep 0.02; cat log >/dev/null; sleep 0.02; done"))
    closes = [record for record in seen.of(place / "log") if isinstance(record, Closed)]
    uses = [record for record in seen.of(place / "log") if isinstance(record, Again)]
    assert [closed.size for closed in closes] == [2, 4, 6]
    assert len(uses) >= 3


def test_a_file_that_is_written_without_end_does_not_fill_the_trace(place: Path) -> None:
    code = "import time\nfor i in range(300):\n with open('log', 'a') as log: log.write('x')\n time.sleep(0.002)"
    seen = observe(place, *python(code))
    closes = [record for record in seen.of(place / "log") if isinstance(record, Closed)]
    assert len(closes) < 60
    assert closes[-1].size == 300


@pytest.mark.parametrize(
    "name", [b"new\nline", b"tab\tand space", b"back\\slash", b"\xff\xfe", b"n" * 255, b"#12x", b"-"]
)
def test_any_name_is_kept(place: Path, name: bytes) -> None:
    path = bytes(place) + b"/" + name
    with open(path, "wb"):
        pass
    seen = observe(place, "cat", os.fsdecode(path))
    assert path in seen.paths


def test_files_that_are_gone_are_remembered_by_the_name_they_had(place: Path) -> None:
    seen = observe(place, *shell("echo 1 >gone; rm gone"))
    assert bytes(place / "gone") in seen.paths


def test_standard_streams_that_are_files_are_used_files(place: Path) -> None:
    (place / "in").write_text("in")
    with (
        (place / "in").open() as stdin,
        (place / "out").open("w") as stdout,
        observed.keeper(place, ("cat",), options={"stdin": stdin, "stdout": stdout}) as process,
    ):
        process.wait(30)
    seen = observed.result(place)
    assert seen.paths[bytes(place / "in")].modes == "r"
    assert [r.size for r in seen.of(place / "out") if isinstance(r, Closed)] == [2]


def test_every_short_lived_process_is_seen(place: Path) -> None:
    (place / "in").write_text("in")
    seen = observe(place, *shell("for i in $(seq 150); do cat in; done"))
    cats = {process.pid for process in seen.processes if (process.executable or b"").endswith(b"/cat")}
    ends = {record.pid for record in seen.records if isinstance(record, Exited)}
    assert len(cats) == 150
    assert cats <= ends
    assert seen.is_complete, seen.reasons


def test_a_killed_job_has_a_trace_to_its_end(place: Path) -> None:
    seen = observe(place, *shell("echo half >model; kill -9 $$"))
    assert seen.exit.signal == signal.SIGKILL
    assert isinstance(seen.records[-1], End)
    assert bytes(place / "model") in seen.paths


def test_a_command_that_does_not_exist_leaves_a_trace_that_is_whole(place: Path) -> None:
    seen = observe(place, "no-such-command")
    assert seen.exit.error_step == "exec"
    assert isinstance(seen.records[-1], End)


def test_no_two_files_have_one_number(place: Path) -> None:
    seen = observe(place, *shell("for i in $(seq 50); do echo $i >f; rm f; done"))
    numbers = [record.number for record in seen.records if isinstance(record, File)]
    assert numbers == list(range(len(numbers)))


def test_the_job_sees_the_same_files_in_the_same_place(place: Path) -> None:
    seen = observe(place, *shell("pwd; readlink /proc/self/root; wc -l </proc/self/mountinfo"))
    mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
    assert seen.output.decode().split() == [str(place), "/", str(mounts)]


def test_without_a_trace_nothing_is_different(place: Path) -> None:
    with observed.keeper(place, ("readlink", "/proc/self/ns/mnt"), trace=None) as process:
        output, _ = process.communicate(timeout=30)
    assert output.decode().strip() == os.readlink("/proc/self/ns/mnt")  # noqa: PTH115
    assert not list((place.parent / "lib/traces").iterdir())
