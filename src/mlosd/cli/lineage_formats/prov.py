"""PROV-JSON (W3C Member Submission 24 April 2013): files are entities, jobs activities, users agents."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from mlosd.cli.lineage_graph import Graph, Node, command, path, text

Records = dict[str, dict[str, Any]]


def lines(graph: Graph) -> Iterator[str]:
    """One document."""
    yield json.dumps(document(graph), indent=2)


def document(graph: Graph) -> dict[str, Any]:
    """What PROV-JSON says of a graph. The prefix names the metadata table: the same file is always the same entity."""
    return {
        "prefix": {"mlosd": f"urn:uuid:{graph.table}#", "about": "urn:mlosd:prov:"},
        "entity": {_version(number): _entity(version) for number, version in graph.versions.items()},
        "activity": {_run(id_): _activity(run) for id_, run in graph.runs.items()},
        "agent": {_user(run): _agent(run) for run in graph.runs.values()},
        "used": _used(graph),
        "wasGeneratedBy": _generated(graph),
        "wasAssociatedWith": {
            f"_:associated{id_}": {"prov:activity": _run(id_), "prov:agent": _user(run)}
            for id_, run in graph.runs.items()
        },
    }


def _entity(version: Node) -> dict[str, Any]:
    known = {
        "prov:label": path(version),
        "prov:type": {"$": f"about:{version['role']}", "type": "prov:QUALIFIED_NAME"},
        "about:path": path(version),
        "about:resource": version["resource"],
        "about:sha256": version["digest"],
        "about:manifest": version["manifest"],
        "about:size": version["size"],
        "about:format": version["format"],
        "about:project": version["project"] and text(version["project"]),
        "about:model": version["model"] and text(version["model"]),
    }
    return {name: value for name, value in known.items() if value is not None}


def _activity(run: Node) -> dict[str, Any]:
    known = {
        "prov:startTime": _time(run["started_at"]),
        "prov:endTime": _time(run["ended_at"]),
        "prov:label": f"job {run['id']}: {command(run)}",
        "about:command": command(run),
        "about:result": run["result"] or run["state"],
        "about:lineage": run["lineage"],
        "about:reason": [text(reason) for reason in run["reasons"]] or None,
        "about:libraries": run["left_out"] or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _agent(run: Node) -> dict[str, Any]:
    return {"prov:type": {"$": "prov:Person", "type": "prov:QUALIFIED_NAME"}, "prov:label": text(run["user"])}


def _used(graph: Graph) -> Records:
    return {
        f"_:used{run}-{version['number']}": {"prov:activity": _run(run), "prov:entity": _version(version["number"])}
        for run in graph.runs
        for version in graph.inputs(run)
    }


def _generated(graph: Graph) -> Records:
    # What was written again as it was, was not generated again.
    return {
        f"_:generated{number}": {"prov:entity": _version(number), "prov:activity": _run(maker["id"])}
        for number in graph.versions
        if (maker := graph.maker(number))
    }


def _version(number: int) -> str:
    return f"mlosd:version-{number}"


def _run(id_: int) -> str:
    return f"mlosd:run-{id_}"


def _user(run: Node) -> str:
    # A user's name may have what a qualified name may not.
    name = "".join(letter if letter.isascii() and letter.isalnum() else f".{ord(letter):x}." for letter in run["user"])
    return f"mlosd:user-{name}"


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
