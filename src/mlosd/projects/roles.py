"""Which role a path has, and which directories are datasets, by the globs of mlos.toml. Pure.

`*` and `?` stay within a name, `**` crosses directories, as in git and in most shells.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any


class Roles:
    """The globs, compiled. Where two match a path, the role that was named first wins."""

    def __init__(self, globs: Mapping[Any, Sequence[str]]) -> None:
        self._patterns = [
            (role, re.compile("|".join(map(regex, patterns)))) for role, patterns in globs.items() if patterns
        ]

    def of(self, path: str) -> str | None:
        """The role of a path below the root, "/" between names; None when no glob names it."""
        return next((role for role, pattern in self._patterns if pattern.fullmatch(path)), None)


class Paths:
    """Paths that any of these globs names; a slash at a glob's end or "./" at its beginning changes nothing."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._globs = [(glob, re.compile(regex(glob.removeprefix("./").rstrip("/")))) for glob in globs]

    def __contains__(self, path: str) -> bool:
        return any(pattern.fullmatch(path) for _, pattern in self._globs)

    def unmatched(self, paths: Sequence[str]) -> list[str]:
        """The globs that name none of these."""
        return [glob for glob, pattern in self._globs if not any(map(pattern.fullmatch, paths))]


def regex(glob: str) -> str:
    """The regular expression that a glob means."""
    out, position = [], 0
    while position < len(glob):
        if glob.startswith("**/", position):
            out.append("(?:[^/]+/)*")
            position += 3
        elif glob.startswith("**", position):
            out.append(".*")
            position += 2
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(glob[position]) or re.escape(glob[position]))
            position += 1
    return f"(?s:{''.join(out)})"
