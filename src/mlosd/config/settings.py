"""Every setting of the daemon, as plain values. They come from daemon/mlosd.toml, whose comments are the manual.

Plain dataclasses, so that the daemon does not have to keep pydantic in memory: `load` checks them, in a process of its
own (`apart`).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Len

Environment = Literal["prod", "dev", "ci", "data"]
STRICT = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, slots=True)
class Daemon:
    """[daemon]"""

    __pydantic_config__ = STRICT

    admin_group: Annotated[str, Len(1)]


@dataclass(frozen=True, slots=True)
class Jobs:
    """[jobs]"""

    __pydantic_config__ = STRICT

    backend: Literal["auto", "systemd", "direct"]
    cgroup_parent: Annotated[str, Len(1)]
    default_env: Environment
    grace: Annotated[float, Ge(0), Le(3600)]
    cpus: Annotated[int, Ge(0)]
    memory_reserve_mib: Annotated[int, Ge(0)]
    keep_finished: Annotated[int, Ge(0)]


@dataclass(frozen=True, slots=True)
class Store:
    """[store]"""

    __pydantic_config__ = STRICT

    keep_backups: Annotated[int, Ge(1), Le(100)]


@dataclass(frozen=True, slots=True)
class Projects:
    """[projects]"""

    __pydantic_config__ = STRICT

    max_resources: Annotated[int, Ge(1)]
    warm_budget_percent: Annotated[int, Ge(0), Le(90)]
    warm_reserve_mib: Annotated[int, Ge(0)]
    warm_pressure: Annotated[float, Ge(0), Le(100)]
    warm_threads: Annotated[int, Ge(1), Le(16)]
    roll_up: Annotated[int, Ge(1)]


@dataclass(frozen=True, slots=True)
class Lineage:
    """[lineage]"""

    __pydantic_config__ = STRICT

    observe: bool
    largest_digest_gib: Annotated[int, Ge(0)]


@dataclass(frozen=True, slots=True)
class Models:
    """[models]"""

    __pydantic_config__ = STRICT

    keep_versions: Annotated[int, Ge(0)]
    reserve_mib: Annotated[int, Ge(0)]
    open_files: Annotated[int, Ge(1), Le(100_000)]


@dataclass(frozen=True, slots=True)
class Mode:
    """[mode]"""

    __pydantic_config__ = STRICT

    machine: Annotated[str, Len(1)]
    for_jobs: bool
    allow: Literal["everybody", "operators"]
    pinned: list[str]
    fights: Annotated[int, Ge(0), Le(1000)]


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of mlosd.toml."""

    __pydantic_config__ = STRICT

    daemon: Daemon
    jobs: Jobs
    store: Store
    projects: Projects
    lineage: Lineage
    models: Models
    mode: Mode


SECTIONS = {
    "daemon": Daemon,
    "jobs": Jobs,
    "store": Store,
    "projects": Projects,
    "lineage": Lineage,
    "models": Models,
    "mode": Mode,
}


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting as `mlosctl config show` prints it: a dotted key, its value, and the file that said so."""

    key: str
    value: str
    file: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in effect and where each came from."""

    settings: Settings
    origins: tuple[Origin, ...]
