"""Make the machine what a plan says: give back what nobody wants, then remember, write, read back.

A core knob that is refused undoes what this plan did so far; an optional one is put back, if need be, and listed.
"""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlosd.core.errors import Refused
from mlosd.mode.plan import Plan, Step
from mlosd.undo.change import Change
from mlosd.undo.kind import Kind
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import Report, undo

_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


@dataclass(frozen=True, slots=True)
class RefusedStep:
    """A step that the kernel, or PID 1, refused."""

    step: Step
    reason: str


@dataclass(slots=True)
class Outcome:
    """What a plan came to."""

    written: list[Step] = field(default_factory=list)
    refused: list[RefusedStep] = field(default_factory=list)
    given_back: Report = field(default_factory=Report)


class CoreRefused(Refused):
    """A core knob could not be set; nothing of the plan is left. `outcome` says what was tried."""

    def __init__(self, refused: RefusedStep, back: Report) -> None:
        step = refused.step
        super().__init__(
            f"{step.knob}: {step.target} cannot be {step.value}: {refused.reason}",
            hint=f"leave it out: --set {step.knob}=false",
        )
        self.back = back


def reconcile(plan: Plan, log: UndoLog, kinds: Mapping[str, Kind]) -> Outcome:
    """Carry the plan out. Raises CoreRefused, and OSError where the undo log cannot be written."""
    outcome = Outcome()
    if plan.give_back:
        outcome.given_back = undo(log, kinds, only={one.key for one in plan.give_back})
    steps = [step for step in plan.steps if step.is_written]
    if not steps:
        return outcome
    new = {step.key for step in steps if log.find(step.key) is None}
    earlier = {step.key: before.after for step in steps if (before := log.find(step.key))}
    # One fsync for all: each is remembered before any is written.
    log.append([step.change() for step in steps])
    for step in steps:
        reason = _write(step, kinds[step.kind])
        if reason is None:
            outcome.written.append(step)
            continue
        refused = RefusedStep(step, reason)
        if step.use == "core":
            raise CoreRefused(refused, _back(steps, new, earlier, log, kinds))
        outcome.refused.append(refused)
        _back([step], new, earlier, log, kinds)
    for kind in kinds.values():
        try:
            kind.finish()
        except OSError as e:
            outcome.given_back.unfinished.append(e.strerror or str(e))
    return outcome


def _write(step: Step, kind: Kind) -> str | None:
    """Write and read back; why it is not so, or None."""
    try:
        kind.write(step.target, step.value)
        now = kind.read(step.target)
    except OSError as e:
        if e.errno in _GONE:
            return "it went away meanwhile"
        return e.strerror or str(e)
    except (ValueError, KeyError) as e:
        return f"{type(e).__name__}: {e}"
    return None if kind.same(now, step.value) else f"it reads back {now!r}"


def _back(
    steps: Sequence[Step],
    new: set[tuple[str, str]],
    earlier: Mapping[tuple[str, str], str | None],
    log: UndoLog,
    kinds: Mapping[str, Kind],
) -> Report:
    """Put these targets back to what they were before this plan: untouched, or as an earlier plan had them."""
    report = undo(log, kinds, only=[step.key for step in steps if step.key in new])
    changed = [step for step in steps if step.key in earlier]
    log.append([Change(step.knob, step.kind, step.target, step.now, earlier[step.key], step.rank) for step in changed])
    for step in changed:
        try:
            kinds[step.kind].write(step.target, earlier[step.key])
        except OSError:
            continue  # verify tells; the log knows what was there first
    return report
