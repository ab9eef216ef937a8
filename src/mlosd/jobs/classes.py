"""Job classes: one file each in cgroups/classes/, or in /etc/mlosd/classes/ for those of the administrator."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mlosd.core import data
from mlosd.core.errors import BadConfig

ETC = Path("/etc/mlosd/classes")
_KEYS = {"summary": str, "mode": str, "mode_after": (int, float)}


@dataclass(frozen=True, slots=True)
class JobClass:
    """`mode`: the profile of ML mode that its jobs bring, after they have run for `mode_after` seconds; None: none."""

    name: str
    summary: str
    mode: str | None = None
    mode_after: float = 2.0


def names(etc: Path = ETC) -> tuple[str, ...]:
    """Every job class there is, by name."""
    return tuple(sorted(_files(etc)))


def read(name: str, etc: Path = ETC) -> JobClass:
    """One class; the administrator's file beats the shipped one. Raises BadConfig, KeyError for none of the names."""
    file = _files(etc)[name]
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BadConfig(f"{file}: {e}") from e
    for key, value in document.items():
        if key not in _KEYS:
            raise BadConfig(f"{file}: unknown key {key}", hint=f"known here: {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):  # type: ignore[arg-type]
            raise BadConfig(f"{file}: {key}: {value!r} cannot be that")
    after = document.get("mode_after", 2.0)
    return JobClass(name, document.get("summary", name), document.get("mode"), float(after))


def _files(etc: Path) -> dict[str, Path]:
    folders = (data.path("cgroups/classes"), etc)
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.toml"))}
