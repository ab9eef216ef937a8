"""A copy on a file system that shares data (XFS, in a loop-mounted file, in a mount namespace of its own)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount"),
    pytest.mark.skipif(shutil.which("mkfs.xfs") is None, reason="needs mkfs.xfs"),
]

# Runs on that file system: copies a file of 64 MiB three times.
SCRIPT = """
import asyncio, hashlib, os, sys
from pathlib import Path
from mlosd.content.identity import ContentUnreadable, NoSpace
from mlosd.content.reader import Reader

async def main():
    content = os.urandom(1 << 20) * 64
    Path("model").write_bytes(content)
    os.sync()
    fd = os.open("model", os.O_RDONLY)
    free = lambda: os.statvfs(".").f_bavail * os.statvfs(".").f_frsize
    reader = Reader()
    before = free()
    to = os.open("shared", os.O_RDWR | os.O_CREAT)
    found = await reader.copy(fd, to, name=b"model")
    assert found.digest == hashlib.sha256(content).digest() and found.size == len(content)
    os.fsync(to)
    assert before - free() < 4 << 20, before - free()
    with open("model", "r+b") as model:  # the next save, in place
        model.write(b"other")
    assert Path("shared").read_bytes() == content
    to = os.open("written", os.O_WRONLY | os.O_CREAT)
    found = await reader.copy(fd, to, name=b"model")
    os.fsync(to)
    assert before - free() > 60 << 20
    assert found.digest == hashlib.sha256(Path("model").read_bytes()).digest()
    try:
        with open("filling", "wb") as filling:
            while free() > 32 << 20:
                filling.write(bytes(1 << 20))
                filling.flush()
                os.fsync(filling.fileno())
        await reader.copy(fd, os.open("third", os.O_WRONLY | os.O_CREAT), name=b"model")
    except NoSpace:
        assert os.stat("third").st_size == 0
        print("ok")
    await reader.close()

asyncio.run(main())
"""


def test_a_copy_shares_the_data_and_keeps_it_when_the_original_is_overwritten(tmp_path: Path) -> None:
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    inner = f'mount -o loop "{image}" "{mount}" && cd "{mount}" && exec "{sys.executable}" -c "$1"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner, "sh", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "mount:" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[0])
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
