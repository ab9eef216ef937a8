"""Jobs whose keeper writes a trace, run to their end."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlosd.core import data
from mlosd.kernel import trace
from mlosd.kernel.job_files import ExitRecord, LaunchSpec, read_exit, write_spec
from mlosd.kernel.trace import End, File, Partial, Process, Record, Renamed


@dataclass(frozen=True)
class Observed:
    """What a job's trace has."""

    records: list[Record]
    exit: ExitRecord
    output: bytes = b""
    paths: dict[bytes, File] = field(default_factory=dict)

    @property
    def reasons(self) -> list[str]:
        return [record.reason for record in self.records if isinstance(record, Partial)]

    @property
    def is_complete(self) -> bool:
        return isinstance(self.records[-1], End) and not self.reasons

    @property
    def processes(self) -> list[Process]:
        return [record for record in self.records if isinstance(record, Process)]

    def of(self, path: Path | bytes) -> list[Record]:
        """The records of the file that was first seen with this path."""
        number = self.paths[os.fsencode(path)].number
        return [record for record in self.records if getattr(record, "number", None) == number]


@contextmanager
def keeper(
    place: Path,
    argv: tuple[str, ...],
    *,
    options: dict[str, Any] | None = None,
    inside: str | None = None,
    **changes: Any,
) -> Iterator["subprocess.Popen[bytes]"]:
    """The keeper of a job that runs `argv` in `place`. `options` are subprocess.Popen's.

    `inside`: a script that starts the keeper, in a mount namespace that it may do with as it likes.
    """
    spec = LaunchSpec(
        id="7",
        argv=argv,
        environment={"PATH": os.environ["PATH"], "HOME": str(place), "OMP_NUM_THREADS": "1"},
        cwd=str(place),
        uid=os.geteuid(),
        gid=os.getegid(),
        trace=_trace(place),
    )
    jobdir = place.parent / "job"
    jobdir.mkdir()
    _trace(place).parent.mkdir(parents=True)
    write_spec(jobdir / "spec", replace(spec, **changes))
    program = data.program("mlos-shepherd")
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **(options or {})}
    command = [str(program), "keep", str(jobdir)] if inside is None else ["unshare", "-m", "sh", "-c", inside]
    process: subprocess.Popen[bytes]
    with subprocess.Popen(command, **streams) as process:
        try:
            yield process
        finally:
            process.terminate()  # the job with it


def seen(place: Path) -> list[Record]:
    """What the trace has so far."""
    if not _trace(place).exists():
        return []
    return trace.parse(_trace(place).read_bytes())[0]


def result(place: Path, output: bytes = b"") -> Observed:
    """What became of the job in `place`, once its keeper is gone."""
    records = seen(place)
    ended = read_exit(place.parent / "job")
    assert ended is not None
    paths: dict[bytes, File] = {}
    by_number: dict[int, File] = {}
    for record in records:
        if isinstance(record, File):
            by_number[record.number] = record
            if record.path is not None:
                paths.setdefault(record.path, record)
        elif isinstance(record, Renamed):
            paths.setdefault(record.path, by_number[record.number])
    return Observed(records, ended, output, paths)


def observe(place: Path, *argv: str, **changes: Any) -> Observed:
    """Run a job under observation."""
    with keeper(place, argv, **changes) as process:
        output, _ = process.communicate(timeout=60)
    return result(place, output)


def _trace(place: Path) -> Path:
    return place.parent / "lib" / "traces" / "7.trace"
