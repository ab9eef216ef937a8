"""What lineage must know of a job: whose it is, where it belongs, what it was asked to do. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """A job that is observed. `project`: the id of the one that it was submitted for."""

    run: int
    uid: int
    gid: int
    groups: tuple[int, ...]
    project: str | None
    cwd: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    gpus: tuple[str, ...]
