"""Is a version or a move of an alias that was acknowledged ever lost, whenever the process is killed?

A small process keeps models and moves aliases over a database of its own, and writes down what was acknowledged; it is
killed with SIGKILL after a random while, and another one goes on. In the end the database must have every row that was
acknowledged, the store every byte that a row says is there, and SQLite must find nothing wrong.

    python bench/alias_kill9.py [CYCLES [SEED]]
"""

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import apsw

from mlosd.content.identity import Content, Identity
from mlosd.registry.blobs import Blobs
from mlosd.registry.keep import Keeping, locate
from mlosd.registry.retention import Retention
from mlosd.store.db import Database
from mlosd.store.models import Models
from mlosd.store.projects import ProjectRow, Projects

CYCLES = 1000
PROJECT = "project-1"


class Reader:
    """Digests here: the workers of the daemon have tests of their own, and would cost most of the time."""

    async def identify(self, fd: int, *, name: bytes) -> Identity:
        return Identity("bench", "model")

    async def read(self, fd: int, *, name: bytes) -> Content:
        data = os.pread(fd, 1 << 20, 0)
        return Content(Identity("bench", "model"), hashlib.sha256(data).digest(), len(data))

    async def copy(self, fd: int, to: int, *, name: bytes) -> Content:
        os.pwrite(to, os.pread(fd, 1 << 20, 0), 0)
        return await self.read(fd, name=name)


def parts(directory: Path) -> tuple[Database, Models, Blobs, Keeping]:
    """The registry, as the daemon makes it."""
    database = Database(directory / "lib" / "mlosd.db")
    models, blobs = Models(database), Blobs(directory / "lib" / "models")
    blobs.open()
    return database, models, blobs, Keeping(models=models, blobs=blobs, reader=Reader(), reserve=0, largest=1 << 40)


async def work(directory: Path, seed: int) -> None:
    """Keep and move until killed. What was acknowledged is on the disk before the next thing is begun."""
    chance = random.Random(seed)
    database, models, _, keeping = parts(directory)
    if not Projects(database).all():
        await Projects(database).add(ProjectRow(PROJECT, "bench", str(directory), 0, "dev", time.time()), [])
    said = os.open(directory / "acknowledged", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    os.write(1, b"ready\n")
    while True:
        name = f"net{chance.randrange(3)}.pt"
        (directory / name).write_bytes(chance.randbytes(chance.randrange(16, 65536)))
        fd = os.open(directory / name, os.O_RDONLY)
        where = locate(fd, place, project=PROJECT, path=name, role_by="observed")
        added = await keeping.keep(fd, where, run=None)
        os.close(fd)
        os.write(said, json.dumps({"model": added.model, "number": added.number}).encode("ascii") + b"\n")
        for _ in range(chance.randrange(3)):
            number, reason = chance.randint(1, added.number), chance.randbytes(8).hex()
            await models.move(added.model, "production", number, actor=0, reason=reason, at=time.time())
            os.write(said, json.dumps({"model": added.model, "move": reason, "to": number}).encode("ascii") + b"\n")


def judge(directory: Path) -> dict[str, object]:
    """Hold the database against what was acknowledged."""
    database, models, blobs, _ = parts(directory)
    text = (directory / "acknowledged").read_text("ascii")
    acknowledged = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    rows = {model.id: {version.number: version for version in models.versions(model.id)} for model in models.all()}
    moves = {model: {row.reason: row.number for row in models.log(model)} for model in rows}
    lost = [
        one
        for one in acknowledged
        if ("move" in one and moves.get(one["model"], {}).get(one["move"]) != one["to"])
        or ("move" not in one and one["number"] not in rows.get(one["model"], {}))
    ]
    stored = [version for of_model in rows.values() for version in of_model.values() if version.stored]
    damaged = [version.number for version in stored if not _is_whole(blobs, version.digest)]

    async def collect() -> tuple[int, int]:
        retention = Retention(models=models, blobs=blobs, keep=0)
        removed = len((await retention.collect())[0].orphans)
        left = len(retention.surplus().orphans)
        await database.close()
        return removed, left

    orphans, left = asyncio.run(collect())
    with apsw.Connection(str(database.path)) as connection:
        integrity = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    return {
        "acknowledged": len(acknowledged),
        "versions": len(stored),
        "moves": sum(map(len, moves.values())),
        "lost": len(lost),
        "damaged": len(damaged),
        "orphans_collected": orphans,
        "orphans_left": left,
        "integrity": integrity,
    }


def _is_whole(blobs: Blobs, digest: bytes) -> bool:
    return blobs.has(digest) and hashlib.sha256(blobs.path(digest).read_bytes()).digest() == digest


def main() -> int:
    """Kill as often as was asked, then judge."""
    if sys.argv[1:2] == ["--work"]:
        asyncio.run(work(Path(sys.argv[2]), int(sys.argv[3])))
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else CYCLES
    chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    with tempfile.TemporaryDirectory(prefix="mlosd-bench-") as folder:
        for _ in range(cycles):
            command = [sys.executable, __file__, "--work", folder, str(chance.randrange(1 << 30))]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                if process.stdout.readline() != b"ready\n":
                    raise RuntimeError("the process did not start")
                time.sleep(chance.uniform(0.0, 0.06))
                process.send_signal(signal.SIGKILL)
        verdict = judge(Path(folder))
    print(json.dumps({"question": "alias_kill9", "cycles": cycles, **verdict}))
    clean = not (verdict["lost"] or verdict["damaged"] or verdict["orphans_left"]) and verdict["integrity"] == ["ok"]
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
