"""Run one probe in a forked child with a time limit, so that no attempt can hang, crash or change the doctor itself."""

import errno
import json
import os
import select
import signal
import time
import traceback
from typing import NoReturn

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Probe
from mlosd.doctor.verdict import AS_ROOT, Unavailable, Verdict, from_wire, to_wire

_PIPE = 65536


def attempt(probe: Probe, host: Host) -> Verdict:
    """Try the mechanism. Never raises: what goes wrong is the verdict."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _child(probe, host, write_end)
    os.close(write_end)
    message: bytes | None = None
    try:
        message = _read_line(read_end, probe.seconds)
    finally:
        os.close(read_end)
        # The whole session of the child: it may have children of its own. ESRCH: all are gone already.
        _kill_session(child)
        if not message and probe.tidy is not None:
            probe.tidy(host, os.getpid())
    if message:
        return from_wire(json.loads(message))
    if message is not None:
        return Unavailable("the attempt ended without an answer", "something may have killed it: dmesg")
    return Unavailable(f"no answer within {probe.seconds:g} s", "look for a file system or a device that hangs: dmesg")


def refused(error: OSError, host: Host) -> Verdict:
    """What an error that the probe did not expect means to a person."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.EPERM, errno.EACCES):
        if host.uid != 0:
            return Unavailable("needs root", AS_ROOT)
        return Unavailable(
            f"refused even to root{where}", "this looks like a container: give it the capability, or run on the host"
        )
    if error.errno == errno.ENOSYS:
        return Unavailable("this kernel does not have it", "a newer kernel has")
    return Unavailable(f"{error.strerror or error}{where}")


def _child(probe: Probe, host: Host, write_end: int) -> NoReturn:
    try:
        os.setsid()
        try:
            verdict = probe.run(host)
        except OSError as e:
            verdict = refused(e, host)
        except Exception as e:  # whatever it is, the other probes go on
            place = traceback.extract_tb(e.__traceback__)[-1]
            where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
            verdict = Unavailable(f"the probe itself failed: {type(e).__name__}: {e}", f"please report this ({where})")
        os.write(write_end, json.dumps(to_wire(verdict)).encode() + b"\n")
    finally:
        os._exit(0)


def _read_line(fd: int, seconds: float) -> bytes | None:
    """One line; b"" when none came, None when the time is over. Not up to the end: a grandchild may hold it open."""
    deadline = time.monotonic() + seconds
    chunks: list[bytes] = []
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        chunk = os.read(fd, _PIPE)
        chunks.append(chunk)
        if not chunk or chunk.endswith(b"\n"):
            return b"".join(chunks)


def _kill_session(child: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
    # A child in uninterruptible sleep (a dead NFS server) does not die now: do not wait for it for ever.
    for _ in range(100):
        pid, _ = os.waitpid(child, os.WNOHANG)
        if pid:
            return
        time.sleep(0.005)
