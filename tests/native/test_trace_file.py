"""The file of a trace: it is the keeper's alone, it grows while the job runs, and it never costs the job anything."""

import os
import resource
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from tests.fakes import observed

from mlosd.core import data
from mlosd.kernel.job_files import LaunchSpec, write_spec
from mlosd.kernel.trace import End, File, Partial, parse

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may observe mounts")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "place"
    path.mkdir()
    return path


def test_a_trace_is_root_s_alone(place: Path) -> None:
    observed.observe(place, "true")
    assert stat.S_IMODE((place.parent / "lib/traces/7.trace").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_where_something_lies_already_the_job_runs_unobserved(place: Path, kind: str) -> None:
    target = place / "somebody's"
    target.write_text("precious")
    trace = place.parent / "own.trace"
    match kind:
        case "file":
            trace.write_text("precious")
        case "link":
            trace.symlink_to(target)
        case _:
            trace.mkdir()
    with observed.keeper(place, ("true",), trace=trace) as process:
        assert process.wait(30) == 0
    assert target.read_text() == "precious"
    assert trace.is_dir() or trace.read_text() == "precious"


def test_a_trace_that_cannot_be_made_does_not_stop_the_job(place: Path) -> None:
    with observed.keeper(place, ("true",), trace=place / "missing" / "7.trace") as process:
        assert process.wait(30) == 0


def test_a_trace_grows_while_the_job_runs(place: Path) -> None:
    with observed.keeper(place, ("sh", "-c", "echo 1 >out; exec sleep 60")) as process:
        deadline = time.monotonic() + 5
        while not any(
            isinstance(record, File) and record.path == bytes(place / "out") for record in observed.seen(place)
        ):
            assert time.monotonic() < deadline, "nothing came"
            time.sleep(0.01)
        process.terminate()
        process.communicate(timeout=30)


def test_what_does_not_fit_on_the_disk_is_missing_and_the_job_is_unharmed(place: Path) -> None:
    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    script = "for i in $(seq 200); do : >file$i; done"
    with observed.keeper(place, ("sh", "-c", script), options={"preexec_fn": small_disk}) as process:
        assert process.wait(30) == 0
    trace = place.parent / "lib/traces/7.trace"
    records, consumed = parse(trace.read_bytes())
    assert consumed == trace.stat().st_size
    # Whatever found room, it does not look like all there was.
    told = any(isinstance(record, Partial) and "the disk was full" in record.reason for record in records)
    assert told or not isinstance(records[-1], End)


def test_a_plain_user_s_keeper_runs_the_job_and_says_that_it_sees_nothing() -> None:
    nobody = 65534
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chown(directory, nobody, nobody)
        trace, job = Path(directory) / "7.trace", Path(directory) / "job"
        job.mkdir()
        spec = LaunchSpec(
            id="7", argv=("true",), environment={"PATH": "/usr/bin:/bin"}, cwd="/", uid=nobody, gid=nobody, trace=trace
        )
        write_spec(job / "spec", spec)
        for path in (job, job / "spec"):
            os.chown(path, nobody, nobody)
        subprocess.run([data.program("mlos-shepherd"), "keep", job], check=True, user=nobody, group=nobody)
        records, _ = parse(trace.read_bytes())
    assert any(isinstance(record, Partial) for record in records)
    assert isinstance(records[-1], End)
