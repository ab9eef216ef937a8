"""The immutable flag: set it on a file without a name, see that even we cannot open it for writing, take it off."""

import errno
import os
import tempfile

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel.inode_flags import FS_IMMUTABLE_FL, get_inode_flags, set_inode_flags


def run(host: Host) -> Verdict:
    directory, fstype = host.trial()
    # The flag goes with the file: should we be killed now, nothing immutable is left.
    with tempfile.TemporaryFile(dir=directory) as file:
        fd = file.fileno()
        try:
            before = get_inode_flags(fd)
            set_inode_flags(fd, before | FS_IMMUTABLE_FL)
        except OSError as e:
            if e.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
                return Unavailable(f"{fstype} at {directory} has no such flag", "keep models on ext4, xfs or btrfs")
            raise
        try:
            os.close(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC))
        except PermissionError:
            return Ok(f"set on a file on {fstype}; not even root could open it for writing")
        finally:
            set_inode_flags(fd, before)
    return Unavailable(f"{fstype} at {directory} took the flag, and let the file be written to")


PROBE = Probe(
    name="immutable flag",
    group=Feature.GUARD,
    purpose="Keeps a sealed model from being changed, by root too (chattr +i).",
    needed_by=(Feature.GUARD,),
    run=run,
)
