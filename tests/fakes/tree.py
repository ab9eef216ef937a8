"""A small kernel: files of /proc, /sys or a cgroup, made from a dict that a test shows on one screen."""

from collections.abc import Mapping
from pathlib import Path


def materialize(root: Path, files: Mapping[str, str]) -> Path:
    """Make each file below `root`, with its folders. Returns `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root
