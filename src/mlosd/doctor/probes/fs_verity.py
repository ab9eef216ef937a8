"""fs-verity: turn it on for a file without a name, and ask the kernel for the file's digest."""

import errno
import os
import tempfile

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel.inode_flags import enable_verity, measure_verity

_HINTS = {
    "ext4": "needs CONFIG_FS_VERITY and, on ext4: tune2fs -O verity DEVICE",
    "btrfs": "needs CONFIG_FS_VERITY (Linux 5.15 and later)",
    "f2fs": "needs CONFIG_FS_VERITY and mkfs.f2fs -O verity",
}


def run(host: Host) -> Verdict:
    directory, fstype = host.trial()
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"mlosd")
        file.flush()
        reader = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enable_verity(reader)  # wants a file that nobody has open for writing
        size = len(measure_verity(reader).digest)
    except OSError as e:
        if e.errno not in (errno.ENOTTY, errno.EOPNOTSUPP):
            raise
        reason = f"{fstype} was made without it, or the kernel was"
        return Unavailable(reason, _HINTS.get(fstype, "ext4, btrfs and f2fs can"))
    finally:
        os.close(reader)
    return Ok(f"the kernel vouches for a file on {fstype} ({size * 8}-bit digest)")


PROBE = Probe(
    name="fs-verity",
    group=Feature.GUARD,
    purpose="Lets the kernel check a sealed model at every read, and tell its digest at once.",
    used_by=(Feature.GUARD, Feature.LINEAGE),
    run=run,
)
