"""pidfds: hold a child by one, see its end, and ask the kernel for its exit status when it is long gone."""

import errno
import os
import select

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel.pidfd import pidfd_get_info

_STATUS = 42


def run(_: Host) -> Verdict:
    child = os.fork()
    if child == 0:
        os._exit(_STATUS)
    pidfd = os.pidfd_open(child)
    try:
        ended = select.select([pidfd], [], [], 2.0)[0]
        os.waitpid(child, 0)
        if not ended:
            return Unavailable("a process ended and its pidfd did not tell")
        return _ask(pidfd)
    finally:
        os.close(pidfd)


def _ask(pidfd: int) -> Verdict:
    try:
        status = pidfd_get_info(pidfd).exit_status
    except OSError as e:
        if e.errno not in (errno.ENOTTY, errno.ESRCH):
            raise
        status = None
    if status is None or os.waitstatus_to_exitcode(status) != _STATUS:
        return Ok("hears of a process' end at once (its exit status comes from the launcher; Linux 6.15 tells it too)")
    return Ok("hears of a process' end at once, and of its exit status even afterwards")


PROBE = Probe(
    name="process handles",
    group=Feature.JOBS,
    purpose="Holds each job by a handle that never means another process.",
    needed_by=(Feature.JOBS,),
    run=run,
)
