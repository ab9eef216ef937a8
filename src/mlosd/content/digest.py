"""SHA-256 of a file, with or without a copy of it; and whether the file stayed the same meanwhile."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable

from mlosd.content.identity import ContentChanged, ContentUnreadable, NoSpace
from mlosd.kernel.fstat import Status, fstat

# Larger than a read-ahead window of most disks, small enough to stay in the second-level cache.
_PIECE = 512 << 10
_FICLONE = 0x40049409
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

Beat = Callable[[], None]


def regular(fd: int) -> Status:
    """What the kernel says of a regular file. Raises ContentUnreadable for anything else."""
    status = fstat(fd)
    if not status.is_regular:
        raise ContentUnreadable("not a regular file")
    return status


def require_same(fd: int, before: Status) -> None:
    """Raise ContentChanged unless nobody wrote to it since `before`. A rename moves only ctime: that is no change."""
    after = fstat(fd)
    if (after.size, after.mtime_ns) != (before.size, before.mtime_ns):
        raise ContentChanged


def of(content: bytes) -> bytes:
    """The digest of what was read already."""
    return hashlib.sha256(content).digest()


def sha256(fd: int, size: int, beat: Beat) -> bytes:
    """The digest of the first `size` bytes. Calls `beat` between pieces. Raises ContentChanged where it ends before."""
    return _each_piece(fd, size, beat, None)


def copy(fd: int, to: int, size: int, beat: Beat) -> bytes:
    """Write the first `size` bytes to the empty file `to`; the digest of what was written. Raises NoSpace."""
    # A disk that is filled to its last byte before we notice would harm the job whose model this is.
    room = os.fstatvfs(to)
    if room.f_bavail * room.f_frsize < size:
        raise NoSpace
    try:
        return _each_piece(fd, size, beat, to)
    except OSError as e:
        if e.errno in _NO_ROOM:
            raise NoSpace from e
        raise


def reflink(fd: int, to: int) -> bool:
    """Let `to` share the data of `fd`, where the file system can (ioctl_ficlone(2)) and `to` can be read back."""
    try:
        os.pread(to, 1, 0)
        fcntl.ioctl(to, _FICLONE, fd)
    except OSError as e:
        if e.errno in _NO_ROOM:
            raise NoSpace from e
        return False
    return True


def _each_piece(fd: int, size: int, beat: Beat, to: int | None) -> bytes:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(_PIECE, size) or 1))
    at = 0
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    while at < size:
        count = os.preadv(fd, [buffer[: size - at]], at)
        if count == 0:
            raise ContentChanged
        piece = buffer[:count]
        digest.update(piece)
        if to is not None:
            _write(to, piece, at)
        at += count
        beat()
    return digest.digest()


def _write(to: int, piece: memoryview, at: int) -> None:
    while piece:
        written = os.pwrite(to, piece, at)
        piece, at = piece[written:], at + written
