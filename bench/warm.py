"""How long does a run wait for its first batch, with and without `mlosctl project open`?

A disk of its own, an ext4 image on a loop device in a mount namespace of our own, holds a dataset; before each round
its files and the image itself leave the page cache, and nothing else on the machine does. The batch: 4-KiB samples at
random places of all files, through mmap, as a map-style dataset reads them, in a process of its own. Beside us:
vmtouch -t, and bare cold and warm.

`python -m bench.warm [MEGABYTES [ROUNDS]]`, as root. The host of a virtual machine may cache what its guest does not:
quote the ratios.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import daemon
from mlosd.kernel.cachestat import resident
from mlosd.kernel.readahead import dont_need

MEGABYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 512
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
FILES = 16
SAMPLES = 4096
INSIDE = "MLOSD_BENCH_WARM_INSIDE"

BATCH = """
import mmap, random, sys, time, zlib
began = time.perf_counter()
chance, count, paths, total = random.Random(7), int(sys.argv[1]), sys.argv[2:], 0
files = [open(path, "rb") for path in paths]
maps = [mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) for file in files]
for _ in range(count):
    samples = chance.choice(maps)
    at = chance.randrange(len(samples) // 4096) * 4096
    total ^= zlib.crc32(samples[at : at + 4096])
print(time.perf_counter() - began)
"""


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("warm: needs root, to mount a disk of its own")
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        unshare = ["unshare", "--mount", "--propagation", "private"]
        os.execvp("unshare", [*unshare, sys.executable, "-m", "bench.warm", *sys.argv[1:]])
    daemon.machine()
    with disk() as (place, image):
        paths = dataset(place / "project")
        with daemon.mlosd() as (root, _), daemon.connect(root) as connection:
            connection.call("io.mlosd.Projects.Add", {"path": str(place / "project"), "name": "bench"})

            def project_open() -> None:
                *_, last = connection.stream("io.mlosd.Projects.Open", {"project": "bench"})
                assert last["opened"]["stopped"] is None, last

            ways: dict[str, Callable[[], object]] = {"nothing (cold)": lambda: None, "project open": project_open}
            if vmtouch := shutil.which("vmtouch"):
                ways["vmtouch -t"] = lambda: subprocess.run([vmtouch, "-qt", place / "project"], check=True)
            else:
                daemon.tell(way="vmtouch -t", skipped="apt-get install vmtouch")
            ways["read before (warm)"] = lambda: [path.read_bytes() for path in paths]
            measure(ways, paths, image)


def measure(ways: dict[str, Callable[[], object]], paths: list[Path], image: Path) -> None:
    """The ways take turns."""
    before: dict[str, list[float]] = {way: [] for way in ways}
    batch: dict[str, list[float]] = {way: [] for way in ways}
    share: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, prepare in ways.items():
            let_go([*paths, image])
            began = time.perf_counter()
            prepare()
            before[way].append(time.perf_counter() - began)
            share[way].append(in_memory(paths))
            batch[way].append(first_batch(paths))
    cold = daemon.spread(batch["nothing (cold)"], digits=3)["median"]
    for way in ways:
        seconds = daemon.spread(batch[way], digits=3)
        daemon.tell(
            way=way,
            megabytes=MEGABYTES,
            first_batch_seconds=seconds,
            of_cold=round(seconds["median"] / cold, 3),
            beforehand_seconds=daemon.spread(before[way], digits=3),
            resident=round(min(share[way]), 4),
            rounds=ROUNDS,
        )


@contextlib.contextmanager
def disk() -> Iterator[tuple[Path, Path]]:
    """(where it is mounted, its image). Gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mlosd-bench-", dir="/var/tmp") as folder:
        image, place = Path(folder, "disk.img"), Path(folder, "disk")
        with image.open("wb") as file:
            file.truncate((MEGABYTES + 64) << 20)
        place.mkdir()
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", image], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", image, place], check=False)
        if mounted.returncode != 0:
            sys.exit("warm: there is no loop device to be had here")
        try:
            yield place, image
        finally:
            subprocess.run(["umount", place], check=True)


def dataset(root: Path) -> list[Path]:
    """Files of random bytes, on the disk."""
    (root / "data").mkdir(parents=True)
    chance, paths = random.Random(1), []
    for number in range(FILES):
        path = root / f"data/shard-{number:02}.bin"
        with path.open("wb") as file:
            for _ in range(MEGABYTES // FILES):
                file.write(chance.randbytes(1 << 20))
            os.fsync(file.fileno())
        paths.append(path)
    return paths


def let_go(paths: list[Path]) -> None:
    """Out of the page cache with these files, and with no others."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        dont_need(fd)
        os.close(fd)


def in_memory(paths: list[Path]) -> float:
    """How much of them is."""
    there = total = 0
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        size = os.fstat(fd).st_size
        there, total = there + resident(fd, offset=0, length=size), total + size
        os.close(fd)
    return there / total


def first_batch(paths: list[Path]) -> float:
    """Seconds, as the process itself sees them: its start is the same for all."""
    command = [sys.executable, "-S", "-c", BATCH, str(SAMPLES), *map(str, paths)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
