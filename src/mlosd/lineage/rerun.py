"""Running a job again: which of its inputs are not any more what they were."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlosd.store.lineage import WRITE, Described, Edge
from mlosd.store.projects import ELSEWHERE


@dataclass(frozen=True, slots=True)
class Changed:
    """An input as the run found it, and as it is now; None: it is gone."""

    then: Described
    now: Described | None


def inputs(edges: Iterable[Edge], versions: Mapping[int, Described]) -> list[Described]:
    """What a run found, of what is known."""
    found = (versions[edge.version] for edge in edges if edge.version in versions and not edge.modes & WRITE)
    return [row for row in found if row.role != "temporary"]


def changed(found: Iterable[Described], newest: Mapping[int, Described]) -> list[Changed]:
    """Those of the inputs whose content is another by now."""
    different = []
    for then in found:
        now = newest.get(then.newest, then)
        if not now.bound:
            different.append(Changed(then, None))
        # A file may have gone back to what it was.
        elif now.number != then.number and (then.digest is None or now.digest != then.digest):
            different.append(Changed(then, now))
    return different


def unwatched(rows: Iterable[Described]) -> list[Described]:
    """Those that belong to no project: nobody would have told us of a change."""
    return [row for row in rows if row.project_name == ELSEWHERE and row.role in ("dataset", "model")]


def looked_at(rows: Iterable[Described]) -> list[Changed]:
    """Those of these files that are not as they were seen last. Blocks where their file server does not answer."""
    different = []
    for row in rows:
        try:
            status = Path(row.path).stat()
        except OSError:
            different.append(Changed(row, None))
        else:
            if (status.st_size, status.st_mtime_ns) != (row.size, row.mtime_ns):
                different.append(Changed(row, row))
    return different
