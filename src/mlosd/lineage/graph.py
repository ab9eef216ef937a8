"""The graph that a walk found, as the wire has it (types of io.mlosd.Lineage). Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlosd.lineage.names import Meant
from mlosd.store.lineage import EXEC, READ, WRITE, Closure, Described, Edge
from mlosd.store.projects import ELSEWHERE

View = dict[str, Any]
State = tuple[str, tuple[str, ...]]

MODES = ((READ, "read"), (WRITE, "write"), (EXEC, "exec"))


def graph(
    meant: Meant,
    found: Sequence[Closure],
    *,
    table: str,
    versions: Mapping[int, Described],
    jobs: Mapping[int, View],
    states: Mapping[int, State],
    parents: Mapping[int, int],
) -> View:
    """What `found` found, as far as it is in `versions` and `jobs`: the rest is not the asker's."""
    left_out: dict[int, int] = {}
    for closure in found:
        left_out.update(closure.left_out)
    edges = {(edge.run, edge.version): edge for closure in found for edge in closure.edges}
    return {
        "table": table,
        "run": meant.run,
        "roots": [number for number in meant.versions if number in versions],
        "runs": [
            run(job, states.get(id_), left_out=left_out.get(id_, 0), parent=parents.get(id_))
            for id_, job in jobs.items()
        ],
        "versions": [version(row) for row in versions.values()],
        "edges": [_edge(edge) for edge in _in_order(edges.values()) if edge.run in jobs and edge.version in versions],
        "truncated": any(closure.truncated for closure in found),
    }


def run(job: View, recorded: State | None, *, left_out: int, parent: int | None) -> View:
    """A run as a node. `job`: as io.mlosd.Jobs shows it."""
    state, reasons = known(job, recorded)
    names = ("id", "name", "user", "project", "argv", "state", "result", "reason", "started_at", "ended_at")
    more = {"lineage": state, "reasons": reasons, "left_out": left_out, "parent": parent}
    return {name: job[name] for name in names} | more


def known(job: View, recorded: State | None) -> tuple[str, list[str]]:
    """How much of a run is known, and why not all."""
    if recorded is not None:
        return recorded[0], list(recorded[1])
    if job["state"] == "DONE":
        return "none", ["nothing was recorded"]
    return "watching", []


def version(row: Described) -> View:
    """A version as a node."""
    return {
        "number": row.number,
        "newest": row.newest,
        "resource": row.resource,
        "project": None if row.project_name == ELSEWHERE else row.project_name,
        "root": row.root,
        "path": row.path,
        "role": row.role,
        "format": row.format,
        "digest": row.digest.hex() if row.digest is not None else None,
        "manifest": row.manifest.hex() if row.manifest is not None else None,
        "size": row.size,
        "seen_at": row.seen_at,
        "made_by": row.made_by,
        "model": row.model,
        "files": _files(row),
    }


def _files(row: Described) -> int | None:
    if row.manifest is None or row.header is None:
        return None
    header = json.loads(row.header)
    count = header.get("files") if isinstance(header, dict) else None
    return count if isinstance(count, int) else None


def _edge(edge: Edge) -> View:
    return {
        "run": edge.run,
        "version": edge.version,
        "modes": [name for mode, name in MODES if edge.modes & mode],
        "first_use_ns": edge.first_use_ns,
    }


def _in_order(edges: Iterable[Edge]) -> list[Edge]:
    return sorted(edges, key=lambda edge: (edge.run, edge.first_use_ns, edge.version))
