"""Files inside a dataset that is one resource: a run that used any of them used the dataset. Pure but for `edges`."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import apsw

from mlosd.lineage import places
from mlosd.lineage.account import READ, WRITE, Used
from mlosd.lineage.places import Root
from mlosd.store.lineage import Edge

Tops = Callable[[str], Sequence[str]]
"""The paths of a project's datasets that are whole directories."""


@dataclass(slots=True)
class Whole:
    """A dataset that a run used: any of its files in these modes, the first of them at `first_use_ns`."""

    project: str
    path: str
    modes: int
    first_use_ns: int


def roll_up(files: Iterable[Used], roots: Sequence[Root], tops: Tops) -> tuple[list[Used], list[Whole]]:
    """The files that stand for themselves, and the datasets that the others lie in."""
    below = [(root, b"%s/%s/" % (root.path, os.fsencode(top)), top) for root in roots for top in tops(root.project)]
    single, wholes = [], dict[tuple[str, str], Whole]()
    for used in files:
        path = used.path or used.first.path
        inside = next(((root, top) for root, prefix, top in below if path and path.startswith(prefix)), None)
        if inside is None or places.place(path or b"", roots, "").project != inside[0].project:
            single.append(used)
            continue
        whole = wholes.setdefault((inside[0].project, inside[1]), Whole(inside[0].project, inside[1], 0, used.first.at))
        whole.modes |= (READ if used.is_input else 0) | (WRITE if used.after is not None else 0)
        whole.first_use_ns = min(whole.first_use_ns, used.first.at)
    return single, list(wholes.values())


def edges(connection: apsw.Connection, run: int, wholes: Iterable[Whole], *, began: float) -> list[Edge]:
    """The version of each dataset that the run found, and the one that it left. Nobody took inventory yet: none."""
    found = []
    for whole in wholes:
        numbers = list(
            connection.execute(
                "SELECT v.number, v.seen_at FROM version v JOIN resource r ON r.id = v.resource"
                " WHERE r.project = ? AND r.path = CAST(? AS TEXT) ORDER BY v.number DESC",
                (whole.project, os.fsencode(whole.path)),
            )
        )
        before = [int(number) for number, seen_at in numbers if seen_at <= began] or [n for n, _ in numbers[-1:]]
        if whole.modes & READ and before:
            found.append(Edge(run, before[0], READ, whole.first_use_ns))
        if whole.modes & WRITE and numbers and numbers[0][1] > began:
            newest = int(numbers[0][0])
            connection.execute("UPDATE version SET made_by = ? WHERE number = ? AND made_by IS NULL", (run, newest))
            found.append(Edge(run, newest, WRITE, whole.first_use_ns))
    return found
