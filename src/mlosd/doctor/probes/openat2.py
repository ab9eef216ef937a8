"""openat2: open a file through a symbolic link, and see the kernel refuse it."""

import errno
import os

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel.openat2 import RESOLVE_NO_SYMLINKS, openat2


def run(host: Host) -> Verdict:
    plain, link = host.scratch / "plain", host.scratch / "link"
    plain.touch()
    link.symlink_to(plain)
    try:
        # The scratch directory itself may lie behind a link (/tmp on some machines), so start from an open one.
        directory = os.open(host.scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(openat2("plain", os.O_RDONLY, resolve=RESOLVE_NO_SYMLINKS, dirfd=directory))
            os.close(openat2("link", os.O_RDONLY, resolve=RESOLVE_NO_SYMLINKS, dirfd=directory))
        finally:
            os.close(directory)
    except OSError as e:
        if e.errno == errno.ELOOP:
            return Ok("opened a file, and refused the symbolic link to it")
        if e.errno == errno.ENOSYS:
            return Unavailable(
                "openat2 is blocked, or the kernel is older than 5.6",
                "in a unit of your own, leave out RestrictSUIDSGID= and DynamicUser=: both block it",
            )
        raise
    finally:
        plain.unlink()
        link.unlink()
    return Unavailable("a symbolic link was followed although that was forbidden")


PROBE = Probe(
    name="safe paths (openat2)",
    group=Feature.GUARD,
    purpose="Opens the paths that users name without being led astray by a symbolic link.",
    needed_by=(Feature.GUARD, Feature.LINEAGE),
    run=run,
)
