"""Which role a path has, by the globs of mlos.toml. Pure.

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
