"""What a project's owner wants followed: mlos.toml, the settings, and what somebody noted already."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mlosd.projects.roles import Paths, Roles
from mlosd.projects.walk import Plan
from mlosd.store.projects import Known


class Declared(Protocol):
    """What mlos.toml says (config.project.ProjectFile)."""

    @property
    def name(self) -> str | None: ...
    @property
    def environment(self) -> str: ...
    @property
    def roles(self) -> Mapping[Any, Sequence[str]]: ...
    @property
    def role_by(self) -> str: ...
    @property
    def datasets(self) -> Sequence[str]: ...


Parse = Callable[[bytes, int, int], Declared]
"""Reads the text of a user's mlos.toml, as that user (uid, gid); an empty text gives the defaults."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`most`: resources of a project; `roll_up`: files of a directory; `ours`: directories of mlosd itself."""

    most: int
    roll_up: int
    ours: frozenset[tuple[int, int]]


def plan_of(declared: Declared, limits: Limits, *, known: Mapping[str, Known], datasets: Iterable[str]) -> Plan:
    """What of a project counts: what mlos.toml says, and what somebody noted already."""
    roles, named, rolled_up = Roles(declared.roles), Paths(declared.datasets), frozenset(datasets)

    def role(path: str) -> str | None:
        if (by_glob := roles.of(path)) is not None:
            return by_glob
        return known[path].role if path in known else None

    return Plan(role, lambda path: path in rolled_up or path in named, limits.roll_up, limits.ours)
