"""Read configuration in a process of its own, which ends: pydantic is 13 MB that an idle daemon need not keep.

What a user wrote (mlos.toml) is read as that user, not as root.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlosd.config.project import ProjectFile
from mlosd.config.settings import SECTIONS, Loaded, Origin, Settings
from mlosd.core.errors import BadConfig

SECONDS = 30


def load(own: Path | None = None) -> Loaded:
    """The settings in effect; `own` is read last, if it is there. Raises BadConfig naming file and key."""
    read = _run("--values", *([f"--own={own}"] if own else []))
    sections = {name: SECTIONS[name](**values) for name, values in read["settings"].items()}
    return Loaded(Settings(**sections), tuple(Origin(**origin) for origin in read["origins"]))


def parse_project(text: bytes, *, uid: int, gid: int, own_uid: int) -> ProjectFile:
    """Read the text of a user's mlos.toml as that user. Raises BadConfig naming the key."""
    # It gives up root itself, once it has imported what it needs: the user need not be able to read our Python.
    identity = [f"--as={uid}:{gid}"] if own_uid == 0 != uid else []
    return ProjectFile(**_run("--project", *identity, text=text))


def _run(*arguments: str, text: bytes = b"") -> dict[str, Any]:
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "mlosd.config", *arguments],
            input=text,
            stdout=subprocess.PIPE,
            check=False,
            timeout=SECONDS,
            cwd="/",
        )
        read: dict[str, Any] = json.loads(ended.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as e:
        raise BadConfig(f"{sys.executable} could not read the settings: {e}") from e
    if "error" in read:
        raise BadConfig(read["error"], hint=read["hint"])
    return read
