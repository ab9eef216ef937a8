"""The graph as the wire has it (io.mlosd.Lineage.varlink, type Graph), as one JSON object on a line."""

import json
from collections.abc import Iterable

from mlosd.cli.lineage_graph import Graph


def lines(graph: Graph) -> Iterable[str]:
    """One."""
    yield json.dumps(graph.answer)
