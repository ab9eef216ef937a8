"""Put an installation's files in place, and take away what is still as we put it. Owns no other file.

The list is written before the first file, so that an installation that was cut short can be taken away, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlosd.core.errors import Refused
from mlosd.setup import manifest
from mlosd.setup.layout import Entry, File
from mlosd.setup.manifest import Manifest

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an installation changes: what to write, what of an older one to take away, and the list afterwards."""

    list_at: Path
    write: tuple[Entry, ...]
    obsolete: Manifest
    result: Manifest

    def describe(self) -> list[str]:
        """A line for each change."""
        lines = [f"write {entry.path}" if isinstance(entry, File) else f"link {entry.path}" for entry in self.write]
        return lines + [f"remove {path}" for path in self.obsolete.entries]


def plan(entries: Sequence[Entry], *, list_at: Path) -> Plan:
    """Compare what shall be with what is. Reads only. Raises Refused where a file of somebody else is in the way."""
    old = manifest.load(list_at)
    wanted = {entry.path: manifest.fingerprint(entry) for entry in entries}
    found = {path: manifest.fingerprint_on_disk(path) for path in wanted}
    foreign = [path for path in wanted if path not in old.entries and found[path] not in (None, wanted[path])]
    if foreign:
        raise Refused(
            f"{foreign[0]} is there and was not put there by mlosd-setup", hint="move it away; nothing was changed"
        )
    made = manifest.missing_folders((*wanted, list_at))
    obsolete = {path: was for path, was in old.entries.items() if path not in wanted}
    return Plan(
        list_at=list_at,
        write=tuple(entry for entry in entries if found[entry.path] != wanted[entry.path]),
        obsolete=Manifest(obsolete),
        result=Manifest(wanted, (*old.folders, *(folder for folder in made if folder not in old.folders))),
    )


def carry_out(planned: Plan, say: Say) -> None:
    """Do what was planned."""
    for folder in planned.result.folders:
        folder.mkdir(mode=0o755, exist_ok=True)
    everything = Manifest({**planned.obsolete.entries, **planned.result.entries}, planned.result.folders)
    manifest.save(planned.list_at, everything)
    for entry in planned.write:
        _write(entry)
        say(f"{entry.path}")
    _remove_entries(planned.obsolete, say)
    manifest.save(planned.list_at, planned.result)


def take_away(list_at: Path, say: Say) -> None:
    """Remove what the list names and is still as we put it, then the folders that are left empty, then the list."""
    installed = manifest.load(list_at)
    _remove_entries(installed, say)
    list_at.unlink(missing_ok=True)
    for folder in sorted(installed.folders, reverse=True):
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            say(f"kept {folder}: it is not empty")


def _write(entry: Entry) -> None:
    if isinstance(entry, File):
        manifest.replace(entry.path, entry.content)
        return
    temporary = entry.path.with_name(f".{entry.path.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(entry.to)
    temporary.rename(entry.path)


def _remove_entries(installed: Manifest, say: Say) -> None:
    for path, was in installed.entries.items():
        found = manifest.fingerprint_on_disk(path)
        if found == was:
            path.unlink()
            say(f"removed {path}")
        elif found is not None:
            say(f"kept {path}: it was changed since it was installed")
