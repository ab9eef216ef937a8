"""Running a job again: which of its inputs are not any more what they were. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlosd.store.lineage import WRITE, Described, Edge


@dataclass(frozen=True, slots=True)
class Changed:
    """An input as the run found it, and as it is now; None: it is gone."""

    then: Described
    now: Described | None


def changed(edges: Iterable[Edge], versions: Mapping[int, Described]) -> list[Changed]:
    """The inputs of a run whose content is another by now. `versions`: those of the edges, and their newest."""
    found = []
    for edge in edges:
        then = versions.get(edge.version)
        if then is None or edge.modes & WRITE or then.made_by == edge.run:
            continue
        now = versions.get(then.newest, then)
        if not now.bound:
            found.append(Changed(then, None))
        # A file may have gone back to what it was.
        elif now.number != then.number and (then.digest is None or now.digest != then.digest):
            found.append(Changed(then, now))
    return found
