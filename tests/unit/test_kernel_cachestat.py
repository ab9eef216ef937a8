"""The page cache of one file: what is in it, how it gets in and out; and whose files a thread may open."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mlosd.kernel import fsuid, readahead
from mlosd.kernel.cachestat import PAGE, cachestat, resident

SIZE = 5 * PAGE + 100


@pytest.fixture
def written(tmp_path: Path) -> Iterator[int]:
    """A small file on a disk, all of it cached."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    try:
        cachestat(fd)
    except OSError as e:
        os.close(fd)
        pytest.skip(f"cachestat(2) does not work here: {e.strerror}")
    yield fd
    os.close(fd)


def test_what_was_written_is_cached_to_its_last_byte(written: int) -> None:
    assert cachestat(written).cached >= 6
    assert resident(written, offset=0, length=SIZE) == SIZE
    assert resident(written, offset=PAGE, length=10) == 10
    assert resident(written, offset=0, length=0) == 0


def test_what_is_let_go_comes_back(written: int) -> None:
    readahead.dont_need(written)
    if resident(written, offset=0, length=SIZE) == SIZE:
        pytest.skip("this file system keeps its pages (tmpfs)")
    assert readahead.read_through(written, bytearray(readahead.CHUNK), offset=0, length=SIZE) == SIZE
    assert resident(written, offset=0, length=SIZE) == SIZE


def test_reading_through_brings_it_back_with_a_small_buffer(written: int) -> None:
    readahead.dont_need(written)
    assert readahead.read_through(written, bytearray(1000), offset=0, length=SIZE) == SIZE
    assert resident(written, offset=0, length=SIZE) == SIZE
    assert readahead.read_through(written, bytearray(1000), offset=SIZE - 10, length=50) == 10


def test_a_file_that_is_none_has_an_error() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    os.close(reader)
    with pytest.raises(OSError) as raised:
        cachestat(reader)
    assert raised.value.errno in (errno.EBADF, errno.ENOSYS)


@given(some.integers(0, 1 << 40), some.integers(0, 100), some.integers(1, 40))
def test_chunks_cover_a_range_once(offset: int, length: int, size: int) -> None:
    pieces = list(readahead.chunks(offset, length, size=size))
    assert sum(piece for _, piece in pieces) == length
    assert all(0 < piece <= size for _, piece in pieces)
    assert [at for at, _ in pieces] == list(range(offset, offset + length, size))


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to act as another user")
def test_one_thread_opens_files_as_somebody_else_and_the_others_do_not(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o640)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    inside: list[bool] = []

    go = threading.Event()

    def elsewhere() -> None:
        go.wait()
        inside.append(os.access(secret, os.R_OK, effective_ids=True))
        os.close(os.open(secret, os.O_RDONLY))

    before = os.getgroups()
    held = os.open(secret, os.O_PATH)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    with fsuid.files_of(12345, 12345, []):
        with pytest.raises(PermissionError):
            os.open(f"/proc/self/fd/{held}", os.O_RDONLY)
        go.set()
        thread.join()
    assert inside == [True]
    os.chown(secret, 0, 4711)
    with fsuid.files_of(12345, 12345, [4711]):
        os.close(os.open(f"/proc/self/fd/{held}", os.O_RDONLY))
    os.close(os.open(secret, os.O_RDONLY))
    os.close(held)
    assert os.getgroups() == before
