"""`mlos.toml`, the optional file in a project's root: its name, its environment, what its files are for."""

import json
import tomllib
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Len

from mlosd.config.settings import STRICT, Environment
from mlosd.core.errors import BadConfig

Role = Literal["code", "library", "dataset", "component", "model", "config"]

DEFAULT_ROLES: dict[Role, list[str]] = {
    "dataset": ["data/**"],
    "model": ["models/**"],
    "config": ["mlos.toml"],
    "code": ["**/*.py"],
}


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """The whole of mlos.toml. `roles`: globs below the root; where two match, the role named first wins.

    `datasets`: directories, or globs of them, each of which is one dataset however many files it has.
    """

    __pydantic_config__ = STRICT

    name: Annotated[str, Len(1, 100)] | None = None
    environment: Environment = "dev"
    roles: dict[Role, list[str]] = field(default_factory=lambda: dict(DEFAULT_ROLES))
    datasets: list[Annotated[str, Len(1, 4096)]] = field(default_factory=list)

    @property
    def role_by(self) -> str:
        """Who said what the files are for: the user, or we by default."""
        return "assumed" if self.roles == DEFAULT_ROLES else "declared"


def parse(text: bytes, *, source: str = "mlos.toml") -> ProjectFile:
    """Read mlos.toml; an empty text gives the defaults. Raises BadConfig naming the file and the key."""
    # pydantic is imported where it is used: the daemon imports this module for its values alone.
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    try:
        document = tomllib.loads(text.decode("utf-8"))
        return TypeAdapter(ProjectFile).validate_json(json.dumps(document, default=str))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BadConfig(f"{source}: {e}") from e
    except ValidationError as e:
        error = e.errors()[0]
        raise BadConfig(
            f"{source}: {'.'.join(str(part) for part in error['loc'])}: {error['msg']}",
            hint="see mlos.toml(5) for what may stand there",
        ) from e
