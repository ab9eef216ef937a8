"""Reflinks (ioctl_ficlone(2)): a file that shares another's blocks until one of the two is written."""

import errno
import fcntl

FICLONE = 0x40049409
_NOT_HERE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM, errno.ETXTBSY, errno.ENOSYS)


def clone(source: int, target: int) -> bool:
    """Make `target`, open for writing, what `source` is; False where these two files cannot share blocks."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as e:
        if e.errno in _NOT_HERE:
            return False
        raise
    return True
