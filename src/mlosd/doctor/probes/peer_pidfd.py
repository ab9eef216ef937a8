"""SO_PEERPIDFD and PIDFD_GET_INFO: ask a socket who is at its other end, and in which cgroup."""

import errno
import os
import socket

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict
from mlosd.kernel.pidfd import PidInfo, pidfd_get_info

_SO_PEERPIDFD = 77  # include/uapi/asm-generic/socket.h, Linux 6.5
LESS = "callers are known by uid and pid only: good enough for permissions, not for telling one pipeline from another"


def run(_: Host) -> Verdict:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        try:
            pidfd = ours.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
        except OSError as e:
            if e.errno != errno.ENOPROTOOPT:
                raise
            return Degraded(f"no SO_PEERPIDFD: {LESS}", "Linux 6.5 and later have it")
        try:
            return _judge(pidfd_get_info(pidfd))
        except OSError as e:
            if e.errno != errno.ENOTTY:
                raise
            return Degraded(f"no PIDFD_GET_INFO: {LESS}", "Linux 6.13 and later have it")
        finally:
            os.close(pidfd)


def _judge(info: PidInfo) -> Verdict:
    if info.pid != os.getpid():
        return Unavailable(f"the kernel says that pid {info.pid} is at the other end; it is {os.getpid()}")
    if info.cgroupid is None:
        return Degraded(f"the kernel does not tell the caller's cgroup: {LESS}", "mount cgroup v2")
    return Ok("a socket tells its caller by pidfd, and the caller's cgroup")


PROBE = Probe(
    name="caller's process",
    group=Feature.IDENTITIES,
    purpose="Knows which job is calling the daemon, and cannot be fooled by a pid that was used again.",
    used_by=(Feature.IDENTITIES,),
    run=run,
)
