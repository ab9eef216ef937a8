"""What would change, and what cannot: every write, old -> new, before any of it is done. Reads only."""

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mlosd.mode import knobs
from mlosd.mode.knob import Cannot, Hold, Knob, Use, Wish
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.change import Change, Pending
from mlosd.undo.kind import Kind

# set: is to be written. ours: we wrote it already. same: it is so without us. hold: is taken, and released by itself.
# void: is written, and means nothing here. pinned: the administrator's. yielded: another program insists on its own.
What = Literal["set", "ours", "same", "hold", "void", "pinned", "yielded", "unavailable"]


@dataclass(frozen=True, slots=True)
class Step:
    """One target of one knob, and what is to become of it. `reason`: why not, or why it means nothing."""

    what: What
    knob: str
    use: Use
    through: str
    kind: str
    target: str
    now: str | None = None
    value: str | None = None
    rank: int = 0
    reason: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, self.target)

    @property
    def is_written(self) -> bool:
        return self.what in ("set", "void")

    def change(self) -> Change:
        """For the undo log."""
        return Change(self.knob, self.kind, self.target, self.now, self.value, self.rank)


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps`: in the order in which they are done. `give_back`: targets of ours that nobody wants any more."""

    steps: tuple[Step, ...]
    give_back: tuple[Pending, ...]


Reason = Callable[[str, str], str | None]
Ours = Mapping[tuple[str, str], Pending]


def plan(
    settings: Mapping[str, Setting],
    scene: Scene,
    kinds: Mapping[str, Kind],
    pending: Sequence[Pending],
    *,
    pinned: Reason = lambda knob, target: None,
    yielded: Reason = lambda knob, target: None,
) -> Plan:
    """Compare what is wanted with what is. `pinned`, `yielded`: why a target is not ours to set, or None."""
    ours = {one.key: one for one in pending}
    steps = []
    for described in knobs.described().values():
        knob = described.knob
        if knob.name in settings:
            steps += [_judged(step, pinned, yielded) for step in _steps(knob, settings[knob.name], scene, kinds, ours)]
    wanted = {step.key for step in steps if step.what in ("set", "void", "ours")}
    return Plan(tuple(steps), tuple(one for one in pending if one.key not in wanted))


def _steps(
    knob: Knob | Hold,
    setting: Setting,
    scene: Scene,
    kinds: Mapping[str, Kind],
    ours: Mapping[tuple[str, str], Pending],
) -> list[Step]:
    if isinstance(knob, Hold):
        wish = knob.look(setting, scene)
        if isinstance(wish, Cannot):
            return [_cannot(knob, wish.target, wish.reason)]
        return [Step("hold", knob.name, knob.use, "lease", wish.kind, wish.target, value=wish.value, reason=wish.void)]
    return [_step(knob, wish, kinds, ours) for wish in _wishes(knob, setting, scene)]


def _wishes(knob: Knob, setting: Setting, scene: Scene) -> list[Wish]:
    try:
        return list(knob.wishes(setting, scene))
    except (OSError, ValueError) as e:
        # What the kernel prints there is not what its documents say; or the thing went away while we looked.
        return [Cannot(getattr(e, "filename", None) or knob.name, getattr(e, "strerror", None) or str(e))]


def _step(knob: Knob, wish: Wish, kinds: Mapping[str, Kind], ours: Ours) -> Step:
    if isinstance(wish, Cannot):
        return _cannot(knob, wish.target, wish.reason)
    kind = kinds[wish.kind]
    try:
        now = kind.read(wish.target)
    except OSError as e:
        return _cannot(knob, wish.target, _why(e))
    earlier = ours.get((wish.kind, wish.target))
    if earlier is not None and kind.same(earlier.after, wish.value):
        what: What = "ours"
    elif earlier is None and kind.same(now, wish.value):
        what = "same"
    else:
        what = "void" if wish.void else "set"
    rank = knob.rank if wish.rank is None else wish.rank
    return Step(what, knob.name, knob.use, knob.through, wish.kind, wish.target, now, wish.value, rank, wish.void)


def _judged(step: Step, pinned: Reason, yielded: Reason) -> Step:
    """The step, unless somebody else's word counts more."""
    if step.what == "unavailable":
        return step
    if reason := pinned(step.knob, step.target):
        return replace(step, what="pinned", reason=reason)
    if reason := yielded(step.knob, step.target):
        return replace(step, what="yielded", reason=reason)
    return step


def _cannot(knob: Knob | Hold, target: str, reason: str) -> Step:
    return Step("unavailable", knob.name, knob.use, knob.through, "", target, reason=reason)


def _why(e: OSError) -> str:
    if e.errno in (errno.ENOENT, errno.ENODEV):
        return e.strerror if e.filename is None and e.strerror else "this machine does not have it"
    return e.strerror or str(e)
