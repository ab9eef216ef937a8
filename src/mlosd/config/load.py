"""Read mlosd.toml: the shipped defaults, /etc, the drop-ins. The last word wins, and we remember whose it was."""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlosd.config.settings import SECTIONS, Loaded, Origin, Settings
from mlosd.core import data
from mlosd.core.errors import BadConfig

ETC = Path("/etc/mlosd")


def files(etc: Path = ETC) -> list[Path]:
    """The files that count, in the order in which they are read."""
    own = etc / "mlosd.toml"
    return [
        data.path("mlosd.toml"),
        *([own] if own.is_file() else []),
        *sorted((etc / "mlosd.toml.d").glob("*.toml")),
    ]


def load(paths: Iterable[Path] | None = None) -> Loaded:
    """Merge the files and check them. Raises BadConfig naming file and key."""
    merged: dict[str, dict[str, Any]] = {}
    said_by: dict[str, Path] = {}
    for path in files() if paths is None else paths:
        for section, key, value in _read(path):
            merged.setdefault(section, {})[key] = value
            said_by[f"{section}.{key}"] = path
    try:
        settings = TypeAdapter(Settings).validate_json(json.dumps(merged, default=str))
    except ValidationError as e:
        error = e.errors()[0]
        key = ".".join(str(part) for part in error["loc"][:2])
        raise BadConfig(f"{said_by.get(key, 'mlosd.toml')}: {key}: {error['msg']}, got {error['input']!r}") from e
    origins = (Origin(key, _shown(merged, key), str(path)) for key, path in sorted(said_by.items()))
    return Loaded(settings, tuple(origins))


def _read(path: Path) -> Iterator[tuple[str, str, Any]]:
    """The (section, key, value) triples of one file, every name checked."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BadConfig(f"{path}: {e}") from e
    for section, table in document.items():
        _refuse_unknown(section, SECTIONS, path, shown=section)
        if not isinstance(table, Mapping):
            raise BadConfig(f"{path}: {section} is a table", hint=f"write [{section}] on a line of its own")
        known = [field.name for field in fields(SECTIONS[section])]
        for key, value in table.items():
            _refuse_unknown(key, known, path, shown=f"{section}.{key}")
            yield section, key, value


def _refuse_unknown(name: str, known: Iterable[str], path: Path, *, shown: str) -> None:
    """An unknown key is an error that names the file and guesses what was meant."""
    names = list(known)
    if name not in names:
        guess = get_close_matches(name, names, n=1)
        raise BadConfig(
            f"{path}: unknown key {shown}",
            hint=f"did you mean {guess[0]}?" if guess else f"known here: {', '.join(names)}",
        )


def _shown(merged: Mapping[str, Mapping[str, Any]], dotted: str) -> str:
    section, _, key = dotted.partition(".")
    value = merged[section][key]
    return value if isinstance(value, str) else repr(value)
