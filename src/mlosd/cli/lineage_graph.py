"""The graph that io.mlosd.Lineage answered, with its edges at hand. Runs and versions stay what the wire has."""

import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

Node = dict[str, Any]


class Graph:
    """`runs` by id, `versions` by number; `run` or `roots`: what was asked about."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.answer = answer
        self.table: str = answer["table"]
        self.run: int | None = answer.get("run")
        self.roots: list[int] = answer["roots"]
        self.truncated: bool = answer["truncated"]
        self.runs: dict[int, Node] = {run["id"]: run for run in answer["runs"]}
        self.versions: dict[int, Node] = {version["number"]: version for version in answer["versions"]}
        self._read: dict[int, list[int]] = defaultdict(list)
        self._wrote: dict[int, list[int]] = defaultdict(list)
        self._users: dict[int, list[int]] = defaultdict(list)
        self._writers: dict[int, list[int]] = defaultdict(list)
        self.modes: dict[tuple[int, int], list[str]] = {}
        for edge in answer["edges"]:
            self._add(edge["run"], edge["version"], edge["modes"])

    def inputs(self, run: int) -> list[Node]:
        """What a run read or executed and had not made, in the order of first use."""
        return [self.versions[number] for number in self._read[run]]

    def outputs(self, run: int) -> list[Node]:
        """What a run wrote."""
        return [self.versions[number] for number in self._wrote[run]]

    def maker(self, version: int) -> Node | None:
        """The run after which a file was first so, when it is in the graph."""
        return self.runs.get(self.versions[version].get("made_by") or 0)

    def writers(self, version: int) -> list[Node]:
        """The runs of the graph that wrote this, for the first time or again."""
        return [self.runs[run] for run in self._writers[version]]

    def users(self, version: int) -> list[Node]:
        """The runs that read what another one, or nobody that we know of, had made."""
        return [self.runs[run] for run in self._users[version]]

    def run_uuid(self, run: int) -> str:
        """The same for the same run of the same metadata table, wherever and however often it is asked."""
        return str(uuid.uuid5(uuid.UUID(self.table), f"run/{run}"))

    def _add(self, run: int, version: int, modes: list[str]) -> None:
        self.modes[run, version] = modes
        if "write" in modes:
            self._wrote[run].append(version)
            self._writers[version].append(run)
        if ("read" in modes or "exec" in modes) and self.versions[version].get("made_by") != run:
            self._read[run].append(version)
            self._users[version].append(run)


def path(version: Node) -> str:
    """The absolute path of a file, as text for people and other programs: bytes that are no UTF-8 become \\xNN."""
    below = version["path"]
    whole = below if below.startswith("/") else f"{version['root'].rstrip('/')}/{below}".rstrip("/")
    return text(whole or "/")


def text(name: str) -> str:
    """A name of any bytes as UTF-8: those that are none become \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def command(run: Node) -> str:
    """What a run ran, as one would type it."""
    import shlex

    return shlex.join(map(text, run["argv"])) or text(run["name"])
