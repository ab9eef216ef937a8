"""Which file system a file lies on, in a way that outlives mounts and boots where the file system offers one."""

import errno
import os
from dataclasses import dataclass
from typing import Literal

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked


@dataclass(frozen=True, slots=True)
class FilesystemId:
    """`uuid`: that of the superblock, the same for ever (tmpfs: a new one for each mount).

    `fsid`: that of statfs(2), good until it is unmounted.
    """

    kind: Literal["uuid", "fsid"]
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def get_filesystem_uuid(fd: int) -> bytes:
    """The UUID (FS_IOC_GETFSUUID, Linux 6.9). ENOTTY: this kernel or this file system has none."""
    uuid = ffi.new("unsigned char[16]")
    size = checked(lib.mlos_get_filesystem_uuid(fd, uuid), fd)
    return bytes(ffi.buffer(uuid, size))


def filesystem_id(fd: int) -> FilesystemId:
    """The UUID, or f_fsid where there is none.

    File systems without a superblock on a disk (overlayfs, NFS, FUSE, tmpfs of some kernels) have no UUID, nor does
    any before Linux 6.9, and that of an image made by hand may be all zeros. Their f_fsid is made of a device number
    or is 0: equal means equal only while it is mounted.
    """
    try:
        uuid = get_filesystem_uuid(fd)
        if any(uuid):
            return FilesystemId("uuid", uuid.hex())
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            raise
    return FilesystemId("fsid", f"{os.fstatvfs(fd).f_fsid & 0xFFFFFFFFFFFFFFFF:016x}")
