"""Every setting of the daemon. The values come from daemon/mlosd.toml; its comments are the manual."""

from typing import Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

Environment = Literal["prod", "dev", "ci", "data"]


class Section(BaseModel):
    """A table of mlosd.toml: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Daemon(Section):
    """[daemon]"""

    admin_group: str = Field(min_length=1)


class Jobs(Section):
    """[jobs]"""

    backend: Literal["auto", "systemd", "direct"]
    cgroup_parent: str = Field(min_length=1)
    default_env: Environment
    grace: float = Field(ge=0, le=3600)
    cpus: int = Field(ge=0)
    memory_reserve: ByteSize
    keep_finished: int = Field(ge=0)


class Store(Section):
    """[store]"""

    keep_backups: int = Field(ge=1, le=100)


class Projects(Section):
    """[projects]"""

    max_resources: int = Field(ge=1)


class Settings(Section):
    """The whole of mlosd.toml."""

    daemon: Daemon
    jobs: Jobs
    store: Store
    projects: Projects
