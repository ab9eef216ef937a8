"""Turns what the functions of native/mlos.h return into a value or an OSError."""

import os
from pathlib import Path


def checked(result: int, target: str | bytes | Path | int) -> int:
    """`result` itself, or the OSError that -errno stands for, with the path or fd that it is about."""
    if result >= 0:
        return result
    name = f"fd {target}" if isinstance(target, int) else os.fsdecode(target)
    raise OSError(-result, os.strerror(-result), name)
