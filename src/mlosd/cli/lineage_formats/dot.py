"""Graphviz: boxes are jobs, ellipses are files, arrows go the way of the data. mlosctl lineage ... | dot -Tsvg"""

from collections.abc import Iterator

from mlosd.cli import paint
from mlosd.cli.lineage_graph import Graph, Node, command, path

SHAPES = {"model": "box3d", "dataset": "cylinder", "code": "note"}
LONGEST = 60


def lines(graph: Graph) -> Iterator[str]:
    """A digraph; equal graphs give equal text."""
    yield "digraph lineage {"
    yield '  graph [rankdir=LR, charset="UTF-8"];'
    yield '  node [fontname="sans-serif"];'
    for run in graph.runs.values():
        yield f"  run{run['id']} [shape=box, style={_style(run)}, label={_quoted(*_of_run(run))}];"
        if run["left_out"]:
            yield f"  rest{run['id']} [shape=plaintext, label={_quoted(str(run['left_out']) + ' libraries')}];"
            yield f"  rest{run['id']} -> run{run['id']} [style=dotted];"
    for number, version in graph.versions.items():
        shape = "folder" if version["manifest"] else SHAPES.get(version["role"], "ellipse")
        bold = ", penwidth=2" if number in graph.roots else ""
        yield f"  version{number} [shape={shape}{bold}, label={_quoted(*_of_version(version))}];"
    for (run_, number), modes in graph.modes.items():
        if "write" in modes:
            yield f"  run{run_} -> version{number};"
        if graph.versions[number]["made_by"] != run_ and ("read" in modes or "exec" in modes):
            yield f"  version{number} -> run{run_}{' [style=dashed]' if modes == ['exec'] else ''};"
    if graph.truncated:
        yield '  more [shape=plaintext, label="there is more"];'
    yield "}"


def _of_run(run: Node) -> list[str]:
    ended = run["result"] or run["state"]
    notes = [f"lineage {run['lineage']}"] if run["lineage"] != "complete" else []
    return [f"job {run['id']}: {ended}", _short(command(run)), *notes]


def _of_version(version: Node) -> list[str]:
    digest = [version["digest"][:12]] if version["digest"] else []
    return [*([version["model"]] if version["model"] else []), path(version), *digest]


def _style(run: Node) -> str:
    return '"rounded"' if run["lineage"] == "complete" else '"rounded,dashed"'


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"


def _quoted(*rows: str) -> str:
    # In a quoted string a backslash begins an escape such as \n or \N, and nothing but a quote ends it.
    escaped = (paint.visible(row).replace("\\", "\\\\").replace('"', '\\"') for row in rows)
    return '"' + "\\n".join(escaped) + '"'
