"""What a file turned out to be: the values that content is told in, and the errors when it cannot be."""

import json
import os
from dataclasses import dataclass, field
from typing import Any

from mlosd.core.errors import MlosError

MODEL = "model"
DATASET = "dataset"
LIBRARY = "library"
CODE = "code"
CONFIG = "config"
ROLES = (MODEL, DATASET, LIBRARY, CODE, CONFIG, None)

UNKNOWN = "unknown"
EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the content of a file is, whatever its name says.

    `role`: "model", "dataset", "library", "code", "config"; None: content alone does not tell. `complete` False: the
    end is missing. `header`: facts for JSON, bounded (see `facts.py`). `warnings` are sentences for a person.
    """

    format: str
    role: str | None = None
    complete: bool = True
    header: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_json(self) -> str:
        """What the metadata table keeps of it as a version's header: role, facts, warnings."""
        facts = {"role": self.role, **self.header}
        if self.warnings:
            facts["warnings"] = list(self.warnings)
        return json.dumps(facts, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Content:
    """All of a file: what it is, its SHA-256, its size in bytes."""

    identity: Identity
    digest: bytes
    size: int


class ContentUnreadable(MlosError):
    """The file could not be read to its end, for `reason`."""

    exit_code = os.EX_IOERR

    def __init__(self, reason: str) -> None:
        super().__init__(f"the file could not be read: {reason}")
        self.reason = reason


class ContentChanged(ContentUnreadable):
    """Somebody wrote to it meanwhile: what was read is neither what it was nor what it is."""

    def __init__(self) -> None:
        super().__init__("changed while it was read")


class NoSpace(ContentUnreadable):
    """There is no room for the copy."""

    def __init__(self) -> None:
        super().__init__("no space")
