"""Models as callers see them. Pure."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlosd.registry import aliases
from mlosd.registry.retention import Surplus
from mlosd.store.models import AliasRow, ModelRow, ModelVersionRow

View = dict[str, Any]

LOST = "lost (the stored bytes are missing)"


@dataclass(frozen=True, slots=True)
class Input:
    """A version that a run used to make another. `is_current`: its file still is as it was then."""

    version: int
    is_current: bool
    seen_at: float


def model(row: ModelRow, versions: Sequence[ModelVersionRow], log: Sequence[AliasRow]) -> View:
    """A model. `versions` newest first, `log` oldest first."""
    return {
        "id": row.id,
        "name": row.name,
        "project": row.project_name,
        "path": row.path,
        "versions": len(versions),
        "latest": versions[0].number if versions else None,
        "aliases": {alias: said.number for alias, said in sorted(aliases.meaning(log).items())},
        "added_at": row.added_at,
    }


def version(
    row: ModelVersionRow, log: Sequence[AliasRow], *, is_there: bool, inputs: Sequence[Input] | None = None
) -> View:
    """A version. `is_there`: its bytes are in the store; `inputs` None: nobody asked what it was made from."""
    now = time.time()
    return {
        "number": row.number,
        "version": row.version,
        "digest": row.digest.hex(),
        "size": row.size,
        "format": row.format,
        "header": json.loads(row.header) if row.header else None,
        "made_by": row.made_by,
        "captured": LOST if row.stored and not is_there else row.captured,
        "aliases": sorted(alias for alias, said in aliases.meaning(log).items() if said.number == row.number),
        "added_at": row.added_at,
        "inputs": None if inputs is None else len(inputs),
        "age": max(0.0, now - max(one.seen_at for one in inputs)) if inputs else None,
        "inputs_changed": None if inputs is None else sum(not one.is_current for one in inputs),
    }


def change(row: AliasRow) -> View:
    """A move of an alias."""
    return {"alias": row.alias, "number": row.number, "actor": row.actor, "reason": row.reason, "at": row.at}


def surplus(what: Surplus, size: int) -> View:
    """What was or would be removed."""
    orphans = [f"{digest.hex()[:12]} (of no version)" for digest in what.orphans]
    return {
        "removed": [*(named(*one) for one in what.versions), *orphans],
        "bytes": size,
        "kept": what.kept,
        "missing": [named(*one) for one in what.missing],
    }


def named(row: ModelRow, one: ModelVersionRow) -> str:
    """A version as people name it."""
    return f"{row.project_name}/{row.name}:{one.number}"
