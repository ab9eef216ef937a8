"""Where a file belongs: the project below whose root it lies, and what it is for as far as its path tells. Pure."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

# What no project below its root explains: packages, shared objects, the interpreter.
_LIBRARY = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|lib/python\d[^/]*|node_modules)/|\.so(?:\.[\d.]+)?$|^/usr/(?:lib|libexec|bin)"
    r"|^/(?:lib|lib64|bin|sbin)/"
)
_BY_SUFFIX = {
    ".py": "code", ".pyx": "code", ".ipynb": "code", ".sh": "code", ".r": "code", ".jl": "code", ".c": "code",
    ".toml": "config", ".yaml": "config", ".yml": "config", ".ini": "config", ".cfg": "config", ".conf": "config",
}  # fmt: skip
_CONFIG = re.compile(r"^/etc/")


@dataclass(frozen=True, slots=True)
class Root:
    """A project's root, as an absolute path without a slash at its end."""

    project: str
    path: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """A file's project, and its path: below the project's root, or absolute where no project has it."""

    project: str
    path: str


def place(path: bytes, roots: Sequence[Root], elsewhere: str) -> Place:
    """The innermost project that has this path; else `elsewhere`, the owner's project of all other files."""
    inside = [root for root in roots if path.startswith(root.path + b"/")]
    if not inside:
        return Place(elsewhere, os.fsdecode(path))
    root = max(inside, key=lambda root: len(root.path))
    return Place(root.project, os.fsdecode(path[len(root.path) + 1 :]))


def role(path: str, content: str | None) -> str:
    """What a file is for. `content`: what its content alone says ("model", "dataset", ...), None where it does not."""
    if _LIBRARY.search(path):
        return "library"
    if content in ("model", "dataset", "library"):
        return content
    suffix = path[path.rfind(".") :].lower() if "." in path else ""
    if by_suffix := _BY_SUFFIX.get(suffix):
        return by_suffix
    if _CONFIG.search(path):
        return "config"
    return content or "component"
