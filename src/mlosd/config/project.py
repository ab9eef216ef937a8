"""`mlos.toml`, the optional file in a project's root: its name, its environment, what its files are for."""

import tomllib
from typing import Literal

from pydantic import Field, ValidationError

from mlosd.config.settings import Environment, Section
from mlosd.core.errors import BadConfig

Role = Literal["code", "library", "dataset", "component", "model", "config"]

DEFAULT_ROLES: dict[Role, list[str]] = {
    "dataset": ["data/**"],
    "model": ["models/**"],
    "config": ["mlos.toml"],
    "code": ["**/*.py"],
}


class ProjectFile(Section):
    """The whole of mlos.toml. `roles`: globs below the root; where two match, the role named first wins."""

    name: str | None = Field(default=None, min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    environment: Environment = "dev"
    roles: dict[Role, list[str]] = Field(default_factory=lambda: dict(DEFAULT_ROLES))


def parse(text: bytes, *, source: str = "mlos.toml") -> ProjectFile:
    """Read mlos.toml; an empty text gives the defaults. Raises BadConfig naming the file and the key."""
    try:
        return ProjectFile.model_validate(tomllib.loads(text.decode("utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BadConfig(f"{source}: {e}") from e
    except ValidationError as e:
        error = e.errors()[0]
        raise BadConfig(
            f"{source}: {'.'.join(str(part) for part in error['loc'])}: {error['msg']}",
            hint="see mlos.toml(5) for what may stand there",
        ) from e
