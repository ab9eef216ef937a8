"""Inode flags, those of chattr(1): ioctl_iflags(2); and fs-verity, which makes one file read-only for good."""

from dataclasses import dataclass

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked

FS_IMMUTABLE_FL = 0x10
FS_APPEND_FL = 0x20
FS_NODUMP_FL = 0x40
FS_VERITY_FL = 0x100000
FS_NOCOW_FL = 0x800000

FS_VERITY_HASH_ALG_SHA256 = 1


@dataclass(frozen=True, slots=True)
class VerityDigest:
    """What the kernel checks every read of a verity file against."""

    algorithm: int
    digest: bytes


def get_inode_flags(fd: int) -> int:
    """The flags of an open file. ENOTTY or EOPNOTSUPP: this file system has none."""
    flags = ffi.new("uint32_t *")
    checked(lib.mlos_get_inode_flags(fd, flags), fd)
    return int(flags[0])


def set_inode_flags(fd: int, flags: int) -> None:
    """Replace all flags. EPERM: FS_IMMUTABLE_FL and FS_APPEND_FL need CAP_LINUX_IMMUTABLE."""
    checked(lib.mlos_set_inode_flags(fd, flags), fd)


def enable_verity(fd: int, *, block_size: int = 4096, algorithm: int = FS_VERITY_HASH_ALG_SHA256) -> None:
    """Make a file, open for reading, immutable and verified. ENOTTY, EOPNOTSUPP: not here; ETXTBSY: has a writer."""
    checked(lib.mlos_enable_verity(fd, algorithm, block_size), fd)


def measure_verity(fd: int) -> VerityDigest:
    """The digest of a verity file. ENODATA: it is none."""
    algorithm = ffi.new("uint32_t *")
    digest = ffi.new("unsigned char[64]")
    size = ffi.new("uint32_t *", 64)
    checked(lib.mlos_measure_verity(fd, algorithm, digest, size), fd)
    return VerityDigest(int(algorithm[0]), bytes(ffi.buffer(digest, size[0])))
