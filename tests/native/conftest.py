"""Jobs for the shepherd: a directory with a spec, run by `mlos-shepherd keep` or asked of `mlos-shepherd serve`."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mlosd.core import data
from mlosd.kernel.shepherd import ExitRecord, LaunchSpec, read_exit, write_spec

PROGRAM = data.program("mlos-shepherd")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the C there is nothing to test here."""
    if not PROGRAM.exists():
        for item in items:
            if "native" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason="not compiled: python native/build.py"))


@dataclass(frozen=True)
class Yard:
    """A place where jobs are run."""

    path: Path

    def job(self, script: str, *, job: str = "7", **changes: Any) -> Path:
        """The directory of a job that runs a shell script, unless `argv` says otherwise."""
        spec = LaunchSpec(
            id=job,
            argv=("sh", "-c", script),
            environment={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            cwd=str(self.path),
            uid=os.geteuid(),
            gid=os.getegid(),
        )
        jobdir = self.path / f"job-{job}"
        jobdir.mkdir()
        write_spec(jobdir / "spec", replace(spec, **changes))
        return jobdir

    def keep(self, jobdir: Path, **options: Any) -> "subprocess.Popen[bytes]":
        """Start its keeper."""
        return subprocess.Popen([PROGRAM, "keep", jobdir], **options)

    def run(self, script: str, **changes: Any) -> tuple[ExitRecord, str]:
        """Run a job to its end; returns its record and what it wrote."""
        jobdir = self.job(script, **changes)
        with self.keep(jobdir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as keeper:
            output, _ = keeper.communicate(timeout=30)
        record = read_exit(jobdir)
        assert record is not None
        return record, output.decode()


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """An empty place for jobs."""
    tmp_path.chmod(0o755)
    return Yard(tmp_path)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup (v2) of our own, below the root of the mounted tree; skips with the reason where there is none."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    if not roots:
        pytest.skip("cgroup2 is not mounted")
    path = roots[0] / f"mlos-test-native-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a cgroup: {error}")
    yield path
    for child in sorted((p for p in path.rglob("*") if p.is_dir()), reverse=True):
        child.rmdir()
    path.rmdir()
