"""How fast are files identified and digested by the confined worker?

Beside it in the same run: `sha256sum` over the same files, which identifies nothing; for many small files by xargs, so
that one process does them all. Files are in the page cache. Prints one JSON line per way.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlosd.content.identity import Content
from mlosd.content.reader import Reader

# What a training project has: tables, code, records, settings.
SMALL = (
    (".csv", "a,b,c\n" + "1.5,2,x\n" * 400),
    (".py", "import os\n\n\ndef f(x):\n    return x\n" * 60),
    (".jsonl", '{"a": 1, "b": "words"}\n' * 150),
    (".yaml", "train:\n  lr: 0.1\n" * 40),
    (".bin", "\0\1\2\3" * 1000),
)


@contextmanager
def opened(paths: list[Path]) -> Iterator[list[tuple[int, bytes]]]:
    files = [(os.open(path, os.O_RDONLY), path.name.encode()) for path in paths]
    try:
        yield files
    finally:
        for fd, _ in files:
            os.close(fd)


def small_files(folder: Path, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        extension, text = SMALL[number % len(SMALL)]
        path = folder / f"{number}{extension}"
        path.write_text(f"{text}")
        paths.append(path)
    return paths


async def many(paths: list[Path]) -> dict[str, object]:
    reader = Reader()
    with opened(paths[:1]) as files:
        await reader.read_many(files)  # the worker starts
    began = time.perf_counter()
    done = 0
    for start in range(0, len(paths), 200):
        with opened(paths[start : start + 200]) as files:
            done += sum(isinstance(answer, Content) for answer in await reader.read_many(files))
    seconds = time.perf_counter() - began
    await reader.close()
    return {"way": "worker, small files", "files": done, "files_per_second": round(done / seconds)}


def many_by_sha256sum(paths: list[Path]) -> dict[str, object]:
    began = time.perf_counter()
    names = b"\0".join(os.fsencode(path) for path in paths)
    subprocess.run(["xargs", "-0", "sha256sum"], input=names, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - began
    return {"way": "sha256sum, small files", "files": len(paths), "files_per_second": round(len(paths) / seconds)}


async def long(path: Path, to: Path) -> list[dict[str, object]]:
    reader = Reader()
    results: list[dict[str, object]] = []
    with opened([path]) as [(fd, name)]:
        await reader.identify(fd, name=name)
        began = time.perf_counter()
        content = await reader.read(fd, name=name)
        results.append(rate("worker, one long file", content.size, began))
        target = os.open(to, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        began = time.perf_counter()
        await reader.copy(fd, target, name=name)
        results.append(rate("worker, copied and digested", content.size, began))
        os.close(target)
    await reader.close()
    return results


def long_by_sha256sum(path: Path) -> dict[str, object]:
    began = time.perf_counter()
    subprocess.run(["sha256sum", path], stdout=subprocess.DEVNULL, check=True)
    return rate("sha256sum, one long file", path.stat().st_size, began)


def rate(way: str, size: int, began: float) -> dict[str, object]:
    seconds = time.perf_counter() - began
    return {"way": way, "mib": size >> 20, "mib_per_second": round(size / seconds / (1 << 20))}


async def first_answer(path: Path) -> dict[str, object]:
    reader = Reader()
    with opened([path]) as [(fd, name)]:
        began = time.perf_counter()
        await reader.identify(fd, name=name)
        cold = time.perf_counter() - began
        began = time.perf_counter()
        await reader.identify(fd, name=name)
        warm = time.perf_counter() - began
    await reader.close()
    return {"way": "identify", "first_ms": round(cold * 1e3, 1), "next_ms": round(warm * 1e3, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--mib", type=int, default=1024)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = small_files(Path(folder), arguments.files)
        print(json.dumps(many_by_sha256sum(paths)))
        print(json.dumps(asyncio.run(many(paths))))
        path = Path(folder, "long")
        with path.open("wb") as file:
            piece = os.urandom(1 << 20)
            for _ in range(arguments.mib):
                file.write(piece)
        print(json.dumps(long_by_sha256sum(path)))
        for result in asyncio.run(long(path, Path(folder, "copy"))):
            print(json.dumps(result))
        print(json.dumps(asyncio.run(first_answer(paths[0]))))


if __name__ == "__main__":
    main()
