"""A graph of runs and files for tests: what io.mlosd.Lineage answers, written by hand."""

from typing import Any

from mlosd.cli.lineage_graph import Graph

TABLE = "1b860c7c-682e-5391-8fc3-e6198d6ce933"


def run(id_: int, *argv: str, **more: Any) -> dict[str, Any]:
    """A job that ended well, unless `more` says otherwise."""
    return {
        "id": id_,
        "name": argv[0] if argv else "job",
        "user": "ann",
        "project": "flights",
        "argv": list(argv),
        "state": "DONE",
        "result": "ok",
        "reason": None,
        "parent": None,
        "started_at": 1_700_000_000.25 + id_,
        "ended_at": 1_700_000_100.5 + id_,
        "lineage": "complete",
        "reasons": [],
        "left_out": 0,
        **more,
    }


def version(number: int, path: str, role: str = "dataset", **more: Any) -> dict[str, Any]:
    """A version of a file of the project, unless `more` says otherwise."""
    return {
        "number": number,
        "newest": number,
        "resource": f"r{number}",
        "project": "flights",
        "root": "/home/ann/flights",
        "path": path,
        "role": role,
        "format": None,
        "digest": f"{number:064x}",
        "manifest": None,
        "size": 1024,
        "seen_at": 1_700_000_000.0,
        "made_by": None,
        "model": None,
        "files": None,
        **more,
    }


def edge(run_: int, version_: int, *modes: str) -> dict[str, Any]:
    """A run used a version."""
    return {"run": run_, "version": version_, "modes": list(modes), "first_use_ns": version_}


def graph(
    runs: list[dict[str, Any]],
    versions: list[dict[str, Any]],
    edges: list[dict[str, Any]],
    *,
    roots: tuple[int, ...] = (),
    run_: int | None = None,
    truncated: bool = False,
) -> Graph:
    """What was asked about is `run_`, or `roots`."""
    return Graph(
        {
            "table": TABLE,
            "run": run_,
            "roots": list(roots),
            "runs": runs,
            "versions": versions,
            "edges": edges,
            "truncated": truncated,
        }
    )


def flights(**more: Any) -> Graph:
    """raw.csv -> prepare -> clean.csv -> train (with train.py and libraries) -> a model -> evaluate -> report.html"""
    runs = [
        run(1, "python", "prepare.py", left_out=12),
        run(2, "python", "train.py", left_out=214, lineage="partial", reasons=["an NFS mount is not covered"]),
        run(3, "python", "evaluate.py", result="failed", reason="exit code 2"),
    ]
    versions = [
        version(1, "raw.csv", newest=9),
        version(2, "clean.csv", made_by=1),
        version(3, "model.onnx", "model", made_by=2, model="flights:1"),
        version(4, "report.html", "component", made_by=3),
        version(5, "train.py", "code"),
    ]
    edges = [
        edge(1, 1, "read"),
        edge(1, 2, "write"),
        edge(2, 5, "read"),
        edge(2, 2, "read"),
        edge(2, 3, "read", "write"),
        edge(3, 3, "read"),
        edge(3, 4, "write"),
    ]
    return graph(runs, versions, edges, **({"roots": (3,)} | more))
