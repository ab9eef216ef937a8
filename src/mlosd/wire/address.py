"""Where the daemon's socket is, and how to name it to the kernel, which takes no more than 107 bytes."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

DEFAULT = Path("/run/mlosd/mlosd.sock")
VARIABLE = "MLOSD_SOCKET"
_LONGEST = 107


def socket_path(*, root: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The socket: what MLOSD_SOCKET says, else the one below `root`, else the machine's."""
    named = environ.get(VARIABLE)
    if named:
        return Path(named)
    return root / "run" / "mlosd.sock" if root else DEFAULT


@contextmanager
def short(path: Path) -> Iterator[str]:
    """A name for `path` that fits into sockaddr_un, valid inside the with-block."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield os.fspath(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
