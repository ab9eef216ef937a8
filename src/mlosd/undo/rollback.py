"""Undo what the log says, in the order of ranks and then newest first, and only what is still ours.

What somebody else changed meanwhile is left as it is and named. What cannot be put back stays in the log.
"""

import errno
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mlosd.undo.change import Pending
from mlosd.undo.kind import Kind
from mlosd.undo.log import UndoLog

# The thing itself went away: a CPU, a disk, a unit. Nothing of it is left to be put back.
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO}


@dataclass(frozen=True, slots=True)
class Leftover:
    """A target that is not as it was before us. `now` is what it is, `reason` why it was not put back."""

    pending: Pending
    now: str | None
    reason: str


@dataclass(slots=True)
class Report:
    """What became of each target. `damaged`: lines of the log that nobody can read; what they spoke of is not known."""

    restored: list[Pending] = field(default_factory=list)
    untouched: list[Pending] = field(default_factory=list)
    gone: list[Pending] = field(default_factory=list)
    kept: list[Leftover] = field(default_factory=list)
    failed: list[Leftover] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    damaged: int = 0


def order(pending: Iterable[Pending]) -> list[Pending]:
    """In which order things are undone."""
    return sorted(pending, key=lambda one: (one.rank, -one.seq))


def undo(log: UndoLog, kinds: Mapping[str, Kind], *, only: Collection[tuple[str, str]] | None = None) -> Report:
    """Put back everything in the log, or `only` these targets. The log forgets what is settled."""
    report = Report(damaged=log.damaged)
    for one in order(log.pending()):
        if only is None or one.key in only:
            _undo(one, kinds, report)
            if not (report.failed and report.failed[-1].pending is one):
                log.settle([one.key])
    for name, kind in kinds.items():
        try:
            kind.finish()
        except OSError as e:
            report.unfinished.append(f"{name}: {e.strerror or e}")
    if not log.pending():
        log.clear()
    return report


def _undo(one: Pending, kinds: Mapping[str, Kind], report: Report) -> None:
    kind = kinds.get(one.kind)
    if kind is None:
        report.failed.append(Leftover(one, None, f"this version knows no kind {one.kind!r}"))
        return
    now: str | None = None
    try:
        now = kind.read(one.target)
        if kind.same(now, one.before):
            report.untouched.append(one)
        elif not any(kind.same(now, value) for value in _ours(one, kind)):
            report.kept.append(Leftover(one, now, "changed by somebody else meanwhile"))
        else:
            kind.write(one.target, one.before)
            now = kind.read(one.target)
            if kind.same(now, one.before):
                report.restored.append(one)
            else:
                report.failed.append(Leftover(one, now, "written, and it reads back otherwise"))
    except OSError as e:
        if e.errno in _GONE:
            report.gone.append(one)
        else:
            report.failed.append(Leftover(one, now, e.strerror or str(e)))
    except Exception as e:  # whatever it is, it keeps no other target from being put back
        report.failed.append(Leftover(one, now, f"{type(e).__name__}: {e}"))


def _ours(one: Pending, kind: Kind) -> tuple[str | None, ...]:
    """The values that we may have left: each that we wrote, and what is there while it is written or put back."""
    return one.written + tuple(half for value in (one.before, *one.written) for half in kind.passing(one.target, value))
