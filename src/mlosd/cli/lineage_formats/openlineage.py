"""OpenLineage: RunEvents as JSON lines, a START for each job that began and a COMPLETE, FAIL or ABORT for its end.

A run's id is made of the metadata table and the job's number: what is sent again is the same again. Files are datasets
of this host; many files of one directory are one dataset, whose manifest names them. https://openlineage.io/spec/2-0-2
"""

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from mlosd import __version__
from mlosd.cli.lineage_graph import Graph, Node, command, path, text

MANY = 20
"""More files than this in one directory are told as the directory."""
MEMBERS = 1000
"""At most so many files are named in the manifest of a directory."""

PRODUCER = f"urn:mlosd:{__version__}"
SPEC = "https://openlineage.io/spec"
ENDINGS = {"ok": "COMPLETE", "failed": "FAIL", "oom": "FAIL", "timeout": "FAIL", "killed": "ABORT", "lost": "ABORT"}

Json = dict[str, Any]


def lines(graph: Graph) -> Iterator[str]:
    """An event on each, in the order of time."""
    host = socket.gethostname()
    happened = [event for run in graph.runs.values() for event in events(graph, run, host)]
    for event in sorted(happened, key=lambda event: str(event["eventTime"])):
        yield json.dumps(event)


def events(graph: Graph, run: Node, host: str) -> Iterator[Json]:
    """What there is to say of a run: nothing of one that never began."""
    if run["started_at"] is None:
        return
    job = {"namespace": f"mlosd://{host}", "name": _job_name(run), "facets": _job_facets(run)}
    told: Json = {
        "run": {"runId": graph.run_uuid(run["id"]), "facets": _run_facets(graph, run, host)},
        "job": job,
        "inputs": _datasets(graph.inputs(run["id"]), host, "input"),
        "producer": PRODUCER,
        "schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }
    yield {"eventType": "START", "eventTime": _time(run["started_at"]), **told, "outputs": []}
    if run["result"] is None:
        return
    if run["result"] != "ok":
        told["run"]["facets"]["errorMessage"] = _facet(
            "1-0-1", "ErrorMessageRunFacet", message=_failure(run), programmingLanguage="unknown"
        )
    outputs = _datasets(graph.outputs(run["id"]), host, "output")
    yield {"eventType": ENDINGS[run["result"]], "eventTime": _time(run["ended_at"]), **told, "outputs": outputs}


def _run_facets(graph: Graph, run: Node, host: str) -> Json:
    facets = {
        "processing_engine": _facet("1-1-1", "ProcessingEngineRunFacet", name="mlosd", version=__version__),
        "mlosd_run": _own(
            "run",
            id=run["id"],
            command=command(run),
            lineage=run["lineage"],
            reasons=[text(reason) for reason in run["reasons"]],
            libraries=run["left_out"],
        ),
    }
    if run["parent"] is not None:
        parent = graph.runs.get(run["parent"])
        facets["parent"] = _facet(
            "1-1-0",
            "ParentRunFacet",
            run={"runId": graph.run_uuid(run["parent"])},
            job={"namespace": f"mlosd://{host}", "name": _job_name(parent) if parent else f"job {run['parent']}"},
        )
    return facets


def _job_facets(run: Node) -> Json:
    return {
        "jobType": _facet("2-0-3", "JobTypeJobFacet", processingType="BATCH", integration="MLOSD", jobType="JOB"),
        "ownership": _facet("1-0-1", "OwnershipJobFacet", owners=[{"name": f"user:{text(run['user'])}"}]),
    }


def _datasets(versions: Iterable[Node], host: str, kind: str) -> list[Json]:
    """Of each file the last of its versions; many of one directory, for the same purpose, are one."""
    latest = {version["resource"]: version for version in sorted(versions, key=lambda version: version["number"])}
    folders: dict[tuple[str, str], list[Node]] = {}
    for version in latest.values():
        folders.setdefault((os.path.dirname(path(version)), version["role"]), []).append(version)  # noqa: PTH120
    found = []
    for (folder, role), members in folders.items():
        if len(members) > MANY:
            found.append(_folder(folder, role, members, host, kind))
        else:
            found += [_file(version, host, kind) for version in members]
    return sorted(found, key=lambda dataset: str(dataset["name"]))


def _file(version: Node, host: str, kind: str) -> Json:
    facets = {
        "version": _version(version["digest"] or f"{version['number']}"),
        "storage": _facet(
            "1-0-1", "StorageDatasetFacet", storageLayer="file", fileFormat=version["format"] or "unknown"
        ),
        "mlosd_file": _own("file", resource=version["resource"], role=version["role"], model=_text(version["model"])),
    }
    if version["manifest"]:
        facets["mlosd_manifest"] = _own("manifest", digest=version["manifest"], files=version["files"], members=[])
    return _dataset(path(version), host, facets, _statistics(kind, version["size"], version["files"] or 1))


def _folder(folder: str, role: str, members: list[Node], host: str, kind: str) -> Json:
    named = sorted((path(version), version["digest"] or f"version {version['number']}") for version in members)
    digest = hashlib.sha256(json.dumps(named).encode("ascii")).hexdigest()
    told = [{"name": os.path.basename(name), "digest": content} for name, content in named[:MEMBERS]]  # noqa: PTH119
    facets = {
        "version": _version(digest),
        "storage": _facet("1-0-1", "StorageDatasetFacet", storageLayer="file", fileFormat="directory"),
        "mlosd_file": _own("file", resource=None, role=role, model=None),
        "mlosd_manifest": _own("manifest", digest=digest, files=len(named), members=told),
    }
    return _dataset(folder, host, facets, _statistics(kind, sum(version["size"] for version in members), len(named)))


def _dataset(name: str, host: str, facets: Json, statistics: Json) -> Json:
    return {"namespace": f"file://{host}", "name": name, "facets": facets, **statistics}


def _statistics(kind: str, size: int, files: int) -> Json:
    if kind == "input":
        facet = _facet("1-0-0", "InputStatisticsInputDatasetFacet", size=size, fileCount=files)
        return {"inputFacets": {"inputStatistics": facet}}
    facet = _facet("1-0-2", "OutputStatisticsOutputDatasetFacet", size=size, fileCount=files)
    return {"outputFacets": {"outputStatistics": facet}}


def _version(content: str) -> Json:
    return _facet("1-0-1", "DatasetVersionDatasetFacet", datasetVersion=content)


def _facet(since: str, kind: str, /, **fields: Any) -> Json:
    url = f"{SPEC}/facets/{since}/{kind}.json#/$defs/{kind}"
    return {"_producer": PRODUCER, "_schemaURL": url, **fields}


def _own(kind: str, /, **fields: Any) -> Json:
    return {"_producer": PRODUCER, "_schemaURL": f"urn:mlosd:facet:{kind}:1", **fields}


def _job_name(run: Node) -> str:
    return text(f"{run['project']}.{run['name']}" if run["project"] else run["name"])


def _failure(run: Node) -> str:
    return text(f"{run['result']}: {run['reason']}" if run["reason"] else run["result"])


def _text(name: str | None) -> str | None:
    return None if name is None else text(name)


def _time(at: float | None) -> str:
    return datetime.fromtimestamp(at or 0, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
