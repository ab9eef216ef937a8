"""What does it cost a job that its files are seen? A Python that imports a lot, kept without and with a trace.

Beside it: the same Python bare, and under `strace -f -e trace=openat`. The rounds take turns; whole processes, in
milliseconds. Needs root.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import daemon
from mlosd.core import data
from mlosd.kernel.job_files import LaunchSpec, write_spec

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 25
CODE = "import numpy, json, email.message, asyncio, http.client, xml.dom.minidom, multiprocessing.pool, unittest.mock"
COMMAND = [sys.executable, "-c", CODE]
TIMES = 20000
OPENS = f"""
import os, time
began = time.perf_counter()
for i in range({TIMES}): os.close(os.open('file', os.O_RDONLY))
print((time.perf_counter() - began) / {TIMES} * 1e6)
"""


@contextlib.contextmanager
def job(place: Path, command: list[str], trace: Path | None) -> Iterator[list[str | Path]]:
    """The command that keeps a job."""
    directory = place / "job"
    directory.mkdir()
    spec = LaunchSpec(
        id="1", argv=tuple(command), environment=dict(os.environ), cwd=str(place), uid=0, gid=0, trace=trace
    )
    write_spec(directory / "spec", spec)
    try:
        yield [data.program("mlos-shepherd"), "keep", directory]
    finally:
        shutil.rmtree(directory)
        if trace:
            trace.unlink()


def whole(place: Path, trace: Path | None) -> float:
    """Seconds from the start of the keeper to its end."""
    with job(place, COMMAND, trace) as command:
        return daemon.seconds(command)


def one_open(place: Path, trace: Path | None) -> float:
    """Microseconds for one open and close, as a job measures it that does nothing else."""
    with job(place, [sys.executable, "-S", "-E", "-c", OPENS], trace) as command:
        return float(subprocess.check_output(command))


def main() -> None:
    daemon.machine()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "file").touch()
        ways: dict[str, Callable[[], float]] = {
            "bare": lambda: daemon.seconds(COMMAND),
            "keeper": lambda: whole(place, None),
            "keeper and trace": lambda: whole(place, place / "trace"),
        }
        if shutil.which("strace"):
            ways["strace -f -e trace=openat"] = lambda: daemon.seconds(
                ["strace", "-f", "-e", "trace=openat", "-o", str(place / "strace"), *COMMAND]
            )
        times: dict[str, list[float]] = {way: [] for way in ways}
        opens: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(ROUNDS + 1):
            for way, seconds in ways.items():
                times[way].append(seconds() * 1000)
            opens["without"].append(one_open(place, None))
            opens["with"].append(one_open(place, place / "trace"))
    bare = sorted(times["bare"][1:])[ROUNDS // 2]
    for way, values in times.items():
        ratio = sorted(values[1:])[ROUNDS // 2] / bare
        daemon.tell(way=way, milliseconds=daemon.spread(values[1:]), of_bare=round(ratio, 3), rounds=ROUNDS)
    for way, values in opens.items():
        daemon.tell(way=f"an open and close {way} a trace", microseconds=daemon.spread(values[1:]), rounds=ROUNDS)


if __name__ == "__main__":
    main()
