"""File leases (fcntl(2), F_SETLEASE): the kernel's answer to whether anybody has a file open for writing."""

import errno
import fcntl
import signal

# ENOLCK, EINVAL: no leases on this file system. EACCES: the file is another's, and we are not root.
_CANNOT_TELL = (errno.EINVAL, errno.EACCES, errno.ENOLCK, errno.EOPNOTSUPP)


def has_writers(fd: int) -> bool | None:
    """Whether somebody has this regular file, open here for reading, open for writing; None: the kernel cannot tell."""
    try:
        # Whoever opens it for writing in this moment makes the kernel signal us: by SIGURG, which is ignored.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        if e.errno == errno.EAGAIN:
            return True
        if e.errno in _CANNOT_TELL:
            return None
        raise
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
