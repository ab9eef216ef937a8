"""A daemon to measure: its database on this disk, its run directory on a tmpfs, as on an installed machine."""

import contextlib
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlosd.client import Connection
from mlosd.core.errors import Unreachable

SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def mlosd() -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """(its root, its process). Gone afterwards with all that it wrote."""
    with tempfile.TemporaryDirectory(prefix="mlosd-bench-", dir=".") as root, run_directory() as run:
        Path(root, "run").symlink_to(run)
        process = start(Path(root))
        try:
            yield Path(root).resolve(), process
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """A directory in memory, as /run is."""
    with tempfile.TemporaryDirectory(prefix="mlosd-bench-", dir=SHARED_MEMORY) as run:
        yield Path(run)


def start(root: Path) -> subprocess.Popen[bytes]:
    """A daemon that answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlosd.daemon.main", "--root", root], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    while True:
        try:
            with connect(root) as connection:
                connection.call("io.mlosd.Daemon.Status", {})
        except Unreachable:
            time.sleep(0.005)
        else:
            return process


def connect(root: Path) -> Connection:
    """A client."""
    return Connection.open(root / "run" / "mlosd.sock")


def need(program: str, package: str) -> str:
    """A peer's program, or a clear end."""
    found = shutil.which(program)
    if found is None:
        sys.exit(f"{Path(sys.argv[0]).name}: needs {program} as its peer: apt-get install {package}")
    return found


def seconds(command: Sequence[str | Path], **options: object) -> float:
    """Wall time of one command."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, **options)  # type: ignore[call-overload]
    return time.perf_counter() - began


def tell(**figures: object) -> None:
    """One line of JSON."""
    print(json.dumps(figures), flush=True)


def spread(values: Sequence[float], *, digits: int = 1) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def machine() -> None:
    """Say what this ran on."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8").count("processor\t")
    tell(machine=platform.machine(), kernel=platform.release(), cpus=cpus, python=platform.python_version())
