"""A tree for people: back to what made it, on to what was made of it. Libraries are one line, and so are many files."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from mlosd.cli import paint, printing
from mlosd.cli.lineage_graph import Graph, Node, command, path
from mlosd.cli.quantity import show_size

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

MANY = 5
"""More files than this of one directory, with the same history, are one line."""
NESTED = 12
"""Runs within runs that are shown; those behind them are counted."""
ROLES = {"model": "magenta", "dataset": "cyan", "code": "blue", "config": "blue"}
RESULTS = {"ok": "green", "failed": "red", "oom": "red", "timeout": "red", "killed": "red", "lost": "red"}


def lines(graph: Graph) -> Iterator[str]:
    """The tree, as wide as the terminal when stdout is one; with colours when it knows them."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console(
        file=io.StringIO(),
        width=printing.terminal_width() if terminal else 100_000,
        force_terminal=True,
        color_system="standard" if paint.wanted(sys.stdout) else None,
        legacy_windows=False,
        highlight=False,
    )
    # What the terminal cannot show, such as our lines in an ASCII locale, must not stop us.
    encoding = sys.stdout.encoding or "utf-8"
    for tree in _Trees(graph).all():
        with console.capture() as shown:
            console.print(tree, no_wrap=True, overflow="ellipsis", crop=terminal)
        for line in shown.get().splitlines():
            yield line.rstrip().encode(encoding, "replace").decode(encoding)
    if graph.truncated:
        yield "... there is more: --limit"


class _Trees:
    """Builds the trees of what was asked about. A run that was shown already is not opened again."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._shown: set[int] = set()

    def all(self) -> Iterator["Tree"]:
        from rich.tree import Tree

        graph = self._graph
        if graph.run is not None:
            run = graph.runs[graph.run]
            tree = Tree(self._run("", run))
            self._shown.add(run["id"])
            self._read(tree, run, 1)
            self._written(tree, run, 1)
            yield tree
        users = self._users()
        roots = [graph.versions[number] for number in graph.roots]
        for group in _grouped(roots, lambda version: (version["made_by"], users[version["number"]])):
            tree = Tree(self._files("", group))
            self._back(tree, group, 1)
            self._on(tree, group, 1)
            yield tree

    def _back(self, tree: "Tree", group: list[Node], level: int) -> None:
        """The run that made a file, below it."""
        maker = self._graph.maker(group[0]["number"])
        if maker is None:
            return
        branch = tree.add(self._run("made by ", maker))
        if self._opens(branch, "made by ", maker, level, lambda run: _behind(self._graph, run, back=True)):
            self._read(branch, maker, level)

    def _on(self, tree: "Tree", group: list[Node], level: int) -> None:
        """The runs that used a file, below it."""
        for user in self._graph.users(group[0]["number"]):
            branch = tree.add(self._run("used by ", user))
            if self._opens(branch, "used by ", user, level, lambda run: _behind(self._graph, run, back=False)):
                self._written(branch, user, level)

    def _read(self, tree: "Tree", run: Node, level: int) -> None:
        from rich.text import Text

        for group in _grouped(self._graph.inputs(run["id"]), lambda version: version["made_by"]):
            self._back(tree.add(self._files("read ", group)), group, level + 1)
        if run["left_out"]:
            tree.add(Text(_count(run["left_out"], "library", "libraries"), style="dim"))

    def _written(self, tree: "Tree", run: Node, level: int) -> None:
        users = self._users()
        for group in _grouped(self._graph.outputs(run["id"]), lambda version: users[version["number"]]):
            self._on(tree.add(self._files("wrote ", group)), group, level + 1)

    def _users(self) -> dict[int, tuple[int, ...]]:
        return {number: tuple(user["id"] for user in self._graph.users(number)) for number in self._graph.versions}

    def _opens(self, branch: "Tree", how: str, run: Node, level: int, behind: Callable[[int], int]) -> bool:
        """Whether the run is shown here with what belongs to it, or said to be elsewhere."""
        from rich.text import Text

        if run["id"] in self._shown:
            branch.label = Text(f"{how}job {run['id']} (see above)", style="dim")
            return False
        self._shown.add(run["id"])
        if level < NESTED:
            return True
        if count := behind(run["id"]):
            branch.add(Text(f"... and {_count(count, 'job', 'jobs')} behind it: --format dot shows all", style="dim"))
        return False

    def _run(self, how: str, run: Node) -> "Text":
        from rich.text import Text

        line = Text(f"{how}job {run['id']}", style="bold")
        ended = str(run["result"] or run["state"])
        line.append(f"  {paint.visible(command(run))}", style="not bold")
        line.append(f"  {ended}", style=f"not bold {RESULTS.get(ended, 'yellow')}")
        line.append(f"  {printing.moment(run['started_at'])}", style="not bold dim")
        if run["lineage"] != "complete":
            why = f": {'; '.join(run['reasons'])}" if run["reasons"] else ""
            line.append(f"  lineage {run['lineage']}{paint.visible(why)}", style="not bold yellow")
        return line

    def _files(self, how: str, group: list[Node]) -> "Text":
        from rich.text import Text

        first = group[0]
        line = Text(how, style="dim")
        if len(group) > 1:
            folder = os.path.dirname(self._name(first))  # noqa: PTH120
            line.append(f"{paint.visible(folder) or '.'}/ ", style="not dim")
            size = show_size(sum(version["size"] for version in group))
            return line.append(f" {_count(len(group), 'file', 'files')}, {first['role']}, {size}")
        if first["model"]:
            line.append(f"{paint.visible(first['model'])}  ", style="not dim bold magenta")
        line.append(paint.visible(self._name(first)), style=f"not dim {ROLES.get(first['role'], 'default')}")
        files = f", {_count(first['files'], 'file', 'files')}" if first["files"] is not None else ""
        line.append(f"  {first['role']}{files}, {show_size(first['size'])}")
        if first["digest"]:
            line.append(f", {first['digest'][:12]}")
        if first["newest"] != first["number"]:
            line.append("  changed since", style="not dim yellow")
        return line

    def _name(self, version: Node) -> str:
        """Its path below the root of what was asked about, else in full."""
        graph = self._graph
        start = graph.versions[graph.roots[0]] if graph.roots else None
        project = start["project"] if start else graph.runs[graph.run]["project"] if graph.run else None
        inside = version["project"] is not None and version["project"] == project
        return path({**version, "root": "", "path": "/" + version["path"]})[1:] if inside else path(version)


def _grouped(versions: Iterable[Node], history: Callable[[Node], object]) -> Iterator[list[Node]]:
    """Single files, and as one group many of one directory that have one role and one history, in their order."""
    groups: dict[tuple[object, ...], list[Node]] = {}
    for version in versions:
        key = (os.path.dirname(path(version)), version["role"], version["manifest"] is not None, history(version))  # noqa: PTH120
        groups.setdefault(key, []).append(version)
    for group in groups.values():
        if len(group) > MANY:
            yield group
        else:
            yield from ([version] for version in group)


def _behind(graph: Graph, run: int, *, back: bool) -> int:
    """How many other runs lie behind one."""
    seen, front = {run}, [run]
    while front:
        current = front.pop()
        if back:
            near = [maker for v in graph.inputs(current) if (maker := graph.maker(v["number"]))]
        else:
            near = [user for v in graph.outputs(current) for user in graph.users(v["number"])]
        new = {node["id"] for node in near} - seen
        seen |= new
        front += new
    return len(seen) - 1


def _count(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
