"""Mounts of this process, from /proc/self/mountinfo (proc_pid_mountinfo(5))."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "glusterfs", "lustre", "virtiofs", "fuse.sshfs", "fuse.s3fs"}
)
"""File systems of other machines. SQLite's locks do not hold there, and any of them may never answer."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    id: int
    parent: int
    device: str
    root: str
    target: Path
    options: frozenset[str]
    shared: bool
    fstype: str
    source: str
    super_options: frozenset[str]

    @property
    def read_only(self) -> bool:
        return "ro" in self.options or "ro" in self.super_options

    @property
    def is_remote(self) -> bool:
        """Whether somebody else, a machine or a program, must answer before a file here can be looked at."""
        return self.fstype in NETWORK or (self.fstype.startswith("fuse") and self.fstype != "fuseblk")


def parse(text: str) -> tuple[Mount, ...]:
    """Every mount, in the kernel's order. A line that is none raises ValueError."""
    return tuple(_mount(line) for line in text.splitlines())


def read(proc: Path = Path("/proc")) -> tuple[Mount, ...]:
    return parse((proc / "self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))


def visible(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts that a path still reaches: of several at one target, the last one is on top."""
    by_target: dict[Path, Mount] = {}
    for mount in mounts:
        by_target.pop(mount.target, None)
        by_target[mount.target] = mount
    return tuple(by_target.values())


def of(path: Path, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that holds `path` (absolute, without symbolic links)."""
    candidates = [mount for mount in visible(mounts) if path.is_relative_to(mount.target)]
    return max(candidates, key=lambda mount: len(mount.target.parts), default=None)


def _mount(line: str) -> Mount:
    # "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": optional fields end at the lone dash.
    try:
        left, right = line.split(" - ", 1)
        number, parent, device, root, target, options, *optional = left.split(" ")
        # A source may be empty, and some file systems print nothing after it.
        fstype, source, super_options = (*right.split(" "), "", "")[:3]
        return Mount(
            id=int(number),
            parent=int(parent),
            device=device,
            root=_unescape(root),
            target=Path(_unescape(target)),
            options=frozenset(options.split(",")),
            shared=any(field.startswith("shared:") for field in optional),
            fstype=fstype,
            source=_unescape(source),
            super_options=frozenset(super_options.split(",")),
        )
    except ValueError as e:
        raise ValueError(f"not a line of mountinfo: {line!r}") from e


def _unescape(text: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits (fs/proc_namespace.c, mangle()).
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
