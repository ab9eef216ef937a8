"""The formats of `mlosctl lineage`: a module each, whose `lines` turns a graph into lines of text."""

import importlib
import pkgutil
from collections.abc import Iterable

from mlosd.cli.lineage_graph import Graph


def names() -> list[str]:
    """Every format that there is."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def lines(format_: str, graph: Graph) -> Iterable[str]:
    """The graph in a format."""
    result: Iterable[str] = importlib.import_module(f"{__name__}.{format_}").lines(graph)
    return result
