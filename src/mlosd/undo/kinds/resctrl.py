"""Targets in a group of resctrl (filesystems/resctrl): its CPUs, and one line of its schemata.

The group may not be there yet, or not any more: then its files read as None, and there is nothing to put back.
"""

import contextlib
import shlex
from pathlib import Path

from mlosd.undo.kinds.file import CpuList, Text


class Cpus(CpuList):
    """The CPUs of a group. `target` is its cpus_list."""

    def read(self, target: str) -> str | None:
        """None where there is no such group."""
        with contextlib.suppress(FileNotFoundError):
            return super().read(target)
        return None

    def write(self, target: str, value: str | None) -> None:
        """None is what it is when the group is gone; nothing else makes it so."""
        if value is not None:
            super().write(target, value)


class Schemata(Text):
    """What a group may use of one resource. `target` is a file and the resource: ".../schemata MB".

    The file has a line for each resource, and a write of one line leaves the others as they are.
    """

    def read(self, target: str) -> str | None:
        """Its line, without blanks: "MB:0=50;1=50". None where there is no such group, or no such resource."""
        file, _, resource = target.rpartition(" ")
        return _line(Path(file), resource)

    def write(self, target: str, value: str | None) -> None:
        """One write(2) of one line."""
        if value is not None:
            super().write(target.rpartition(" ")[0], value)

    def command(self, target: str, value: str | None) -> str:
        return f"echo {shlex.quote(value or '')} > {shlex.quote(target.rpartition(' ')[0])}"


def values(group: Path, resource: str) -> dict[str, int]:
    """What a group may use of a resource that is counted, by cache. Empty: no such group or resource.

    Raises ValueError where it is not counted.
    """
    parts = (_line(group / "schemata", resource) or "").partition(":")[2].split(";")
    return {cache: int(value) for cache, _, value in (part.partition("=") for part in parts if part)}


def line(resource: str, shares: dict[str, int]) -> str:
    """A line as the kernel reads it."""
    return f"{resource}:{';'.join(f'{cache}={value}' for cache, value in shares.items())}"


def _line(schemata: Path, resource: str) -> str | None:
    try:
        lines = schemata.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    # Names and values are padded into columns: "    MB:0= 50;1=100" (show_doms()).
    blankless = ("".join(one.split()) for one in lines)
    return next((one for one in blankless if one.startswith(f"{resource}:")), None)
