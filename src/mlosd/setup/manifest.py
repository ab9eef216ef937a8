"""The list of what was installed, kept with it: what to take away again, and what somebody has changed since."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlosd.core.errors import Refused
from mlosd.setup.layout import Entry, File

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """Paths and the fingerprint of what we put there; folders that were not there before us."""

    entries: Mapping[Path, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()


def location(prefix: Path) -> Path:
    """Where the list of an installation below `prefix` is."""
    return prefix / "lib/mlosd/installed.json"


def fingerprint(entry: Entry) -> str:
    """What an entry will look like on the disk."""
    if isinstance(entry, File):
        return hashlib.sha256(entry.content).hexdigest()
    return f"-> {entry.to}"


def fingerprint_on_disk(path: Path) -> str | None:
    """What is on the disk; None: nothing."""
    if path.is_symlink():
        return f"-> {path.readlink()}"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def load(path: Path) -> Manifest:
    """Read a list; an empty one when there is none. Raises Refused for one that is damaged or newer than we are."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Manifest()
    except ValueError as e:
        raise Refused(f"{path} is damaged", hint="remove by hand what it lists, then the file itself") from e
    if content.get("version") != _VERSION:
        raise Refused(f"{path} was written by a newer mlosd-setup", hint="use that one")
    return Manifest(
        entries={Path(name): value for name, value in content["entries"].items()},
        folders=tuple(Path(name) for name in content["folders"]),
    )


def save(path: Path, manifest: Manifest) -> None:
    """Write a list so that it is the old or the new one after a power cut."""
    content = {
        "version": _VERSION,
        "entries": {str(name): value for name, value in manifest.entries.items()},
        "folders": [str(name) for name in manifest.folders],
    }
    replace(path, (json.dumps(content, indent=1) + "\n").encode())


def replace(path: Path, content: bytes) -> None:
    """Put a file in the place of another at once."""
    temporary = path.with_name(f".{path.name}.new")
    with open(temporary, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o644)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def missing_folders(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The folders that must be made for `paths`, parents first."""
    missing = {folder for path in paths for folder in path.parents if not folder.exists()}
    return tuple(sorted(missing))
