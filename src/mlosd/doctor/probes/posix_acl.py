"""POSIX ACLs: give one more user the right to read a file without a name, and read the list back."""

import errno
import tempfile

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel import posix_acl
from mlosd.kernel.posix_acl import Entry, Tag

_LIST = (
    Entry(Tag.USER_OBJ, 6),
    Entry(Tag.USER, 4, 65534),
    Entry(Tag.GROUP_OBJ, 4),
    Entry(Tag.MASK, 4),
    Entry(Tag.OTHER, 0),
)


def run(host: Host) -> Verdict:
    directory, fstype = host.trial()
    with tempfile.TemporaryFile(dir=directory) as file:
        try:
            posix_acl.write(file.fileno(), _LIST)
        except OSError as e:
            if e.errno != errno.EOPNOTSUPP:
                raise
            return Unavailable(
                f"{fstype} at {directory} has none", "mount it with the option acl, or use ext4, xfs, btrfs"
            )
        if posix_acl.read(file.fileno()) != _LIST:
            return Unavailable(f"{fstype} at {directory} gave back another list than was set")
    return Ok(f"set and read back on {fstype}")


PROBE = Probe(
    name="POSIX ACLs",
    group=Feature.GUARD,
    purpose="Lets only production processes read a project's models.",
    needed_by=(Feature.GUARD,),
    run=run,
)
