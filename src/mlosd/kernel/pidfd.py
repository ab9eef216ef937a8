"""A process held by a pidfd: pidfd_open(2), and what the kernel knows of it: ioctl_pidfd(2), Linux 6.13."""

import errno
import os
from dataclasses import dataclass

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked

_PID = 1 << 0
_CREDS = 1 << 1
_CGROUPID = 1 << 2
_EXIT = 1 << 3


@dataclass(frozen=True, slots=True)
class Credentials:
    """Real and effective user and group."""

    ruid: int
    euid: int
    rgid: int
    egid: int


@dataclass(frozen=True, slots=True)
class PidInfo:
    """A process, alive or ended. None: the kernel does not say, or no longer.

    `cgroupid` is the inode number of its cgroup (v2); `exit_status` is that of wait(2), which os.waitstatus_to_exitcode
    understands, and is there once the process was reaped (Linux 6.15).
    """

    pid: int | None
    ppid: int | None
    credentials: Credentials | None
    cgroupid: int | None
    exit_status: int | None


def pidfd_open(pid: int) -> int:
    """A descriptor of a process. ProcessLookupError: it is gone."""
    try:
        return os.pidfd_open(pid)
    except OSError as e:
        # Between the moment a process is reaped and the end of its number, somebody may still hold that (a connector's
        # message, /proc): then the number is there and no process has it (kernel/fork.c, pidfd_prepare()).
        if e.errno == errno.EINVAL and pid > 0:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from e
        raise


def pidfd_get_info(pidfd: int) -> PidInfo:
    """Ask the kernel. ENOTTY: before Linux 6.13. ESRCH: the process was reaped and the kernel keeps no exit status."""
    native = ffi.new("struct mlos_pid_info *")
    checked(lib.mlos_pidfd_get_info(pidfd, native), pidfd)
    mask = native.mask
    has_creds = bool(mask & _CREDS)
    return PidInfo(
        pid=native.pid if mask & _PID else None,
        ppid=native.ppid if mask & _PID else None,
        credentials=Credentials(native.ruid, native.euid, native.rgid, native.egid) if has_creds else None,
        cgroupid=native.cgroupid if mask & _CGROUPID else None,
        exit_status=native.exit_status if mask & _EXIT else None,
    )
