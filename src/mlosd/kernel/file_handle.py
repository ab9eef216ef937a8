"""File handles: the name of an inode that the kernel does not use again, since it holds the generation.

See name_to_handle_at(2). Together with the file system's identity (`filesystem_uuid`) a handle names one file for ever.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlosd._native import ffi, lib
from mlosd.kernel.syscall_error import checked

AT_EMPTY_PATH = 0x1000
AT_SYMLINK_FOLLOW = 0x400
AT_HANDLE_FID = 0x200
"""Linux 6.5: a handle for comparing only; file systems that cannot open by handle have it too."""

_AT_FDCWD = -100


@dataclass(frozen=True, slots=True)
class FileHandle:
    """A handle as the file system gave it; opaque but for being equal or not."""

    type: int
    bytes: bytes

    @property
    def hex(self) -> str:
        """The handle as text: its type, a dot, its bytes."""
        return f"{self.type:x}.{self.bytes.hex()}"

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """The handle that `hex` wrote. Raises ValueError."""
        kind, dot, rest = text.partition(".")
        if not dot:
            raise ValueError(f"not a file handle: {text!r}")
        return cls(int(kind, 16), bytes.fromhex(rest))


def name_to_handle_at(path: Path | str, *, dirfd: int = _AT_FDCWD, flags: int = 0) -> FileHandle:
    """The handle of what `path` names; of a symbolic link itself unless AT_SYMLINK_FOLLOW is given."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("a NUL byte in a path")
    return _handle(dirfd, name, flags, name)


def fd_to_handle(fd: int, *, flags: int = 0) -> FileHandle:
    """The handle of an open file (name_to_handle_at with AT_EMPTY_PATH)."""
    return _handle(fd, b"", flags | AT_EMPTY_PATH, fd)


def open_by_handle_at(mount_fd: int, handle: FileHandle, flags: int) -> int:
    """Open the file again, wherever it is called now. ESTALE: it is gone. Needs CAP_DAC_READ_SEARCH."""
    native = ffi.new("struct mlos_file_handle *")
    if len(handle.bytes) > len(native.bytes):
        raise ValueError("a file handle is at most 128 bytes long")
    native.type = handle.type
    native.size = len(handle.bytes)
    ffi.memmove(native.bytes, handle.bytes, len(handle.bytes))
    return checked(lib.mlos_open_by_handle_at(mount_fd, native, flags | os.O_CLOEXEC), f"file handle {handle.hex}")


def _handle(dirfd: int, name: bytes, flags: int, target: bytes | int) -> FileHandle:
    native = ffi.new("struct mlos_file_handle *")
    checked(lib.mlos_name_to_handle_at(dirfd, ffi.from_buffer(name + b"\0"), native, flags), target)
    return FileHandle(native.type, bytes(ffi.buffer(native.bytes, native.size)))
