"""Where the daemon's socket is, and how to name it to the kernel, which takes no more than 107 bytes."""

# pathlib would be a third of what importing the client costs.
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

DEFAULT = "/run/mlosd/mlosd.sock"
VARIABLE = "MLOSD_SOCKET"
_LONGEST = 107

StrPath = str | os.PathLike[str]


def socket_path(*, root: StrPath | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """The socket: what MLOSD_SOCKET says, else the one below `root`, else the machine's."""
    named = environ.get(VARIABLE)
    if named:
        return named
    return f"{os.fspath(root)}/run/mlosd.sock" if root else DEFAULT


@contextmanager
def short(path: StrPath) -> Iterator[str]:
    """A name for `path` that fits into sockaddr_un, valid inside the with-block."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield os.fspath(path)
        return
    above, name = os.path.split(path)
    folder = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)
