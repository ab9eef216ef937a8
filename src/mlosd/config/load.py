"""Read mlosd.toml: the shipped defaults, /etc, the drop-ins. The last word wins, and we remember whose it was."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mlosd.config.settings import Settings
from mlosd.core import data
from mlosd.core.errors import BadConfig

ETC = Path("/etc/mlosd")


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting as `mlosctl config show` prints it: a dotted key, its value, and the file that said so."""

    key: str
    value: str
    file: Path


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in effect and where each came from."""

    settings: Settings
    origins: tuple[Origin, ...]


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
        settings = Settings.model_validate(merged)
    except ValidationError as e:
        error = e.errors()[0]
        key = ".".join(str(part) for part in error["loc"][:2])
        raise BadConfig(f"{said_by.get(key, 'mlosd.toml')}: {key}: {error['msg']}, got {error['input']!r}") from e
    origins = (Origin(key, _shown(merged, key), path) for key, path in sorted(said_by.items()))
    return Loaded(settings, tuple(origins))


def _read(path: Path) -> Iterator[tuple[str, str, Any]]:
    """The (section, key, value) triples of one file, every name checked."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BadConfig(f"{path}: {e}") from e
    for section, table in document.items():
        model = _known(Settings, section, path, section).annotation
        if not isinstance(table, Mapping):
            raise BadConfig(f"{path}: {section} is a table", hint=f"write [{section}] on a line of its own")
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for key, value in table.items():
            _known(model, key, path, f"{section}.{key}")
            yield section, key, value


def _known(model: type[BaseModel], name: str, path: Path, shown: str) -> Any:
    """The field `name`, or an error that names the file and guesses what was meant."""
    if name in model.model_fields:
        return model.model_fields[name]
    guess = get_close_matches(name, model.model_fields, n=1)
    raise BadConfig(
        f"{path}: unknown key {shown}",
        hint=f"did you mean {guess[0]}?" if guess else f"known here: {', '.join(model.model_fields)}",
    )


def _shown(merged: Mapping[str, Mapping[str, Any]], dotted: str) -> str:
    section, _, key = dotted.partition(".")
    value = merged[section][key]
    return value if isinstance(value, str) else repr(value)
