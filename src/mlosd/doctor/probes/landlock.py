"""Landlock: give up reading files in a child, and see the kernel hold us to it."""

import ctypes
import errno
import os
import struct

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel.landlock import landlock_abi

# The same numbers on every architecture (syscalls(2)).
_SYS_CREATE_RULESET = 444
_SYS_RESTRICT_SELF = 446
_ACCESS_FS_READ_FILE = 1 << 2
_PR_SET_NO_NEW_PRIVS = 38


def run(host: Host) -> Verdict:
    try:
        abi = landlock_abi()
    except OSError as e:
        if e.errno == errno.EOPNOTSUPP:
            return Unavailable("it was turned off at boot", "add landlock to the kernel parameter lsm=")
        if e.errno == errno.ENOSYS:
            return Unavailable("this kernel has none", "Linux 5.13 and later have, with CONFIG_SECURITY_LANDLOCK")
        raise
    file = host.scratch / "secret"
    file.touch()
    try:
        _give_up_reading()
        os.close(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return Ok(f"version {abi}; a process that gave up reading could not read any more")
    finally:
        file.unlink()
    return Unavailable("a process that gave up reading could still read")


def _give_up_reading() -> None:
    """For ever, but each probe is a process of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("=Q", _ACCESS_FS_READ_FILE)
    ruleset = libc.syscall(_SYS_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    one, nothing = ctypes.c_ulong(1), ctypes.c_ulong(0)
    failed = libc.prctl(ctypes.c_int(_PR_SET_NO_NEW_PRIVS), one, nothing, nothing, nothing) or libc.syscall(
        _SYS_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)
    )
    os.close(ruleset)
    if failed:
        # Not PermissionError: that would read as "could not read any more".
        raise RuntimeError(f"landlock_restrict_self: {os.strerror(ctypes.get_errno())}")


PROBE = Probe(
    name="Landlock",
    group=Feature.GUARD,
    purpose="Keeps scans of foreign files, and jobs if you wish, away from all they need not read.",
    used_by=(Feature.GUARD, Feature.DRIFT),
    run=run,
)
