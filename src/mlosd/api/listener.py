"""The daemon's listening socket: made at a path, or handed over by the service manager."""

import os
import socket
import stat
from pathlib import Path

from mlosd.core.errors import Refused
from mlosd.wire import address

_BACKLOG = 128


def listen(path: Path) -> socket.socket:
    """Listen at `path`. Anybody may connect: what they may do is decided call by call.

    A socket file that nobody answers at is replaced. Two daemons that start in the same moment are kept apart
    by the lock of their database, not here.
    """
    _make_folder(path.parent)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with address.short(path) as name:
            _remove_stale(path, name)
            listener.bind(name)
            Path(name).chmod(0o666)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise Refused(f"{path}: {error.strerror}") from error
    except BaseException:
        listener.close()
        raise
    return listener


def adopt(fd: int) -> socket.socket:
    """Take over a listening socket that the service manager made (sd_listen_fds(3)). One refused stays open."""
    listener = socket.socket(fileno=fd)
    if (listener.family, listener.type) != (socket.AF_UNIX, socket.SOCK_STREAM) or not listener.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        listener.detach()
        raise Refused(f"descriptor {fd} is not a listening stream socket", hint="see ListenStream= in mlosd.socket")
    os.set_inheritable(fd, False)
    listener.setblocking(False)
    return listener


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o755)  # whatever our umask is
    found = folder.stat()
    if found.st_uid not in (0, os.geteuid()) or stat.S_IMODE(found.st_mode) & 0o022:
        raise Refused(
            f"{folder} can be written by others, who could put their own socket there",
            hint=f"chown it to {os.geteuid()} and chmod it to 0755",
        )


def _remove_stale(path: Path, name: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(name)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if not stat.S_ISSOCK(Path(name).lstat().st_mode):
                raise Refused(f"{path} exists and is not a socket", hint="move it away") from None
            Path(name).unlink()
            return
        except BlockingIOError:
            pass  # its queue is full: somebody lives there
    raise Refused(f"another mlosd answers at {path}", hint="stop it, or use another --root")
