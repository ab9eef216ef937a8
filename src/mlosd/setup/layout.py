"""What belongs where: every file and link that an installation consists of, as values. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What a wheel installs below its prefix for the operating system to find. Only our own: a virtual environment holds
# other packages' pages, too.
_SHARED = (
    "share/man/man?/mlos*.[1578]",
    "share/bash-completion/completions/mlosctl*",
    "share/zsh/site-functions/_mlosctl",
    "share/fish/vendor_completions.d/mlosctl.fish",
)
_COMMANDS = ("mlosctl", "mlosd-restore", "mlosd-setup")
_UNITS = ("*.service", "*.socket", "*.slice")
_BIN = b"/usr/bin/"


@dataclass(frozen=True, slots=True)
class File:
    """A file and what is in it."""

    path: Path
    content: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link and what it points to."""

    path: Path
    to: Path


Entry = File | Link


@dataclass(frozen=True, slots=True)
class Source:
    """Where the pieces come from: the folder of units, and the prefix (a virtual environment) that holds mlosd."""

    systemd: Path
    prefix: Path


def entries(source: Source, *, prefix: Path) -> list[Entry]:
    """All of an installation below `prefix` (/usr/local, or /usr for a package)."""
    return [*_units(source, prefix), *_shared(source, prefix), *_links(source, prefix)]


def _units(source: Source, prefix: Path) -> Iterator[Entry]:
    for pattern in _UNITS:
        for file in sorted(source.systemd.glob(pattern)):
            yield File(prefix / "lib/systemd/system" / file.name, _with_own_programs(file.read_bytes(), source))
    for folder in ("sysusers.d", "tmpfiles.d"):
        for file in sorted((source.systemd / folder).glob("*.conf")):
            yield File(prefix / "lib" / folder / file.name, file.read_bytes())


def _with_own_programs(unit: bytes, source: Source) -> bytes:
    """The unit with the programs of this installation: PID 1 does not look into virtual environments."""
    return b"".join(
        line.replace(b"=" + _BIN, b"=" + bytes(source.prefix / "bin") + b"/") if line.startswith(b"Exec") else line
        for line in unit.splitlines(keepends=True)
    )


def _shared(source: Source, prefix: Path) -> Iterator[Entry]:
    for pattern in _SHARED:
        for file in sorted(source.prefix.glob(pattern)):
            yield File(prefix / file.relative_to(source.prefix), file.read_bytes())


def _links(source: Source, prefix: Path) -> Iterator[Entry]:
    for command in _COMMANDS:
        yield Link(prefix / "bin" / command, source.prefix / "bin" / command)
