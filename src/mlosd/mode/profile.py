"""Profiles: which knobs a mode sets, and to what. One TOML file each, shipped or the administrator's; values, checked.

    summary = "training first"
    inherits = "serving-safe"        # optional
    [knobs]
    scaling-governor = "performance"
    numa-balancing = false           # false: not this one, though the inherited profile has it
    [headroom]
    target = 5.0

A file in /etc/mlosd/profiles beats the shipped one of its name; it may inherit that one by its own name.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlosd.core.errors import BadConfig, BadRequest, MlosError, NotFound
from mlosd.mode import knobs
from mlosd.mode.knob import check
from mlosd.mode.scene import Setting

DEEPEST, LARGEST, LONGEST_TYPED = 8, 1 << 16, 512
_KEYS = {"summary", "inherits", "knobs", "headroom"}


@dataclass(frozen=True, slots=True)
class Profile:
    """`settings`: by knob name. `headroom`: the most per cent of time that training may wait for a CPU; None: any."""

    name: str
    summary: str
    settings: Mapping[str, Setting]
    headroom: float | None
    file: str

    @property
    def opt_in(self) -> tuple[str, ...]:
        """The knobs in it that somebody has to ask for: they change what people at the machine see and feel."""
        return tuple(name for name in self.settings if knobs.find(name).use == "opt-in")


class Profiles:
    """All profiles, read when asked: the administrator's changes count from the next lease on."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """`folders`: the shipped ones first, then those that beat them."""
        self._folders = folders

    def names(self) -> tuple[str, ...]:
        """Every profile there is."""
        return tuple(sorted({file.stem for folder in self._folders for file in folder.glob("*.toml")}))

    def find(self, name: str) -> Profile:
        """Raises NotFound that guesses, BadConfig that names the file and the key."""
        is_name = re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII)
        files = [folder / f"{name}.toml" for folder in self._folders if is_name]
        found = [file for file in files if file.is_file()]
        if not found:
            guess = get_close_matches(name, self.names(), n=1)
            hint = f"did you mean {guess[0]}?" if guess else f"one of: {', '.join(self.names())}"
            raise NotFound(f"there is no profile {name[:64]!r}", hint=hint)
        return self._read(found, ())

    def _read(self, files: Sequence[Path], seen: tuple[Path, ...]) -> Profile:
        """The last of `files`; those before it are what it may inherit by its own name."""
        *earlier, file = files
        if file in seen or len(seen) == DEEPEST:
            raise BadConfig(f"{file}: profiles that inherit each other: {' -> '.join(path.stem for path in seen)}")
        document = _document(file)
        settings, target = _settings(document, file), _target(document, file)
        if (parent := document.get("inherits")) is not None:
            inherited = self._parent(parent, file, earlier, (*seen, file))
            settings = {**inherited.settings, **settings}
            target = inherited.headroom if target is None else target
        wanted = {name: setting for name, setting in settings.items() if setting is not False}
        return Profile(file.stem, str(document.get("summary", file.stem)), wanted, target or None, str(file))

    def _parent(self, parent: object, file: Path, earlier: Sequence[Path], seen: tuple[Path, ...]) -> Profile:
        if not isinstance(parent, str) or not re.fullmatch(r"[\w.-]{1,64}", parent, re.ASCII):
            raise BadConfig(f"{file}: inherits: {parent!r} is not the name of a profile")
        candidates = earlier if parent == file.stem else [folder / f"{parent}.toml" for folder in self._folders]
        found = [path for path in candidates if path.is_file()]
        if not found:
            raise BadConfig(f"{file}: inherits: there is no profile {parent!r}")
        return self._read(found, seen)


def override(asked: Mapping[str, Setting]) -> dict[str, Setting]:
    """Settings that a person gave by hand, checked. Raises BadRequest, NotFound."""
    for name, setting in asked.items():
        knob = knobs.find(name)
        if setting is not False:
            check(knob, setting)
    return dict(asked)


def typed(text: str) -> tuple[str, Setting]:
    """knob=value as a person types it. Raises BadRequest."""
    name, equals, value = text.partition("=")
    if not equals or not name or len(text) > LONGEST_TYPED or not text.isprintable():
        raise BadRequest(f"not knob=value: {text[:60]!r}", hint="--set scaling-governor=performance")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return name, value  # a bare word


def _document(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST)
        if len(text) == LARGEST:
            raise BadConfig(f"{file}: more than {LARGEST >> 10} KiB is no profile")
        document = tomllib.loads(text.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise BadConfig(f"{file}: {e}") from e
    if unknown := sorted(document.keys() - _KEYS):
        raise BadConfig(f"{file}: unknown key {unknown[0]}", hint=f"known here: {', '.join(sorted(_KEYS))}")
    return document


def _settings(document: Mapping[str, Any], file: Path) -> dict[str, Setting]:
    asked = document.get("knobs", {})
    if not isinstance(asked, Mapping):
        raise BadConfig(f"{file}: knobs is a table", hint="write [knobs] on a line of its own")
    try:
        return override(asked)
    except MlosError as e:
        raise BadConfig(f"{file}: {e.message}", hint=e.hint) from e


def _target(document: Mapping[str, Any], file: Path) -> float | None:
    table = document.get("headroom", {})
    if not isinstance(table, Mapping):
        raise BadConfig(f"{file}: headroom is a table", hint="write [headroom] on a line of its own")
    target = table.get("target")
    if target is None or target is False:
        return None if target is None else 0.0
    if isinstance(target, bool) or not isinstance(target, int | float) or not 0.1 <= target <= 100:
        raise BadConfig(f"{file}: headroom.target: {target!r} is not a percentage between 0.1 and 100")
    return float(target)
