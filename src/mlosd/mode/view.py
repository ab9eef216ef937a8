"""The mode as the wire has it (io.mlosd.Mode): values in, dictionaries out."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlosd.kernel import cpulist
from mlosd.mode import knobs
from mlosd.mode.effective import Effect
from mlosd.mode.lease import Lease
from mlosd.mode.machine import Checked
from mlosd.mode.plan import Step
from mlosd.mode.profile import Profile
from mlosd.mode.reconcile import RefusedStep
from mlosd.mode.scene import Scene
from mlosd.undo.kind import Kind
from mlosd.undo.rollback import Leftover

View = dict[str, Any]


def lease(of: Lease, *, hidden: bool = False) -> View:
    """`until` by the clock on the wall: what people can read. `hidden`: that it is somebody's, not whose."""
    left = None if of.until is None else of.until - time.clock_gettime(time.CLOCK_BOOTTIME)
    return {
        "id": of.id,
        "who": "another user" if hidden else of.who,
        "owner": -1 if hidden else of.owner,
        "profile": of.profile,
        "cpus": list(of.cpus),
        "job": None if hidden else of.job,
        "pid": None if hidden else of.pid,
        "until": None if left is None else time.time() + left,
        "since": of.since,
        "implied": of.implied,
    }


def step(of: Step) -> View:
    """One target of one knob."""
    return {
        "what": of.what,
        "knob": of.knob,
        "use": of.use,
        "through": of.through,
        "target": of.target,
        "now": of.now,
        "value": of.value,
        "reason": of.reason,
    }


def steps(planned: Sequence[Step], refused: Iterable[RefusedStep] = ()) -> list[View]:
    """All of them; those that were refused say so."""
    why = {one.step.key: one.reason for one in refused}
    return [
        {**step(one), "what": "refused", "reason": why[one.key]} if one.key in why else step(one) for one in planned
    ]


def leftover(of: Leftover, kinds: Mapping[str, Kind]) -> View:
    """With the command that a person can paste."""
    pending = of.pending
    kind = kinds.get(pending.kind)
    return {
        "knob": pending.knob,
        "target": pending.target,
        "was": pending.before,
        "now": of.now,
        "reason": of.reason,
        "command": kind.command(pending.target, pending.before) if kind else "",
    }


def shares(scene: Scene) -> tuple[str, str]:
    """The CPUs of training, and of everybody else, as lists."""
    return cpulist.format(scene.training), cpulist.format(scene.housekeeping)


def finding(checked: Checked, effect: Effect | None) -> View:
    """One target read again."""
    pending = checked.pending
    says, detail = (effect.says, effect.detail) if effect else ("ok", None)
    if not checked.is_ours:
        says, detail = "differs", checked.reason or "changed by somebody else"
    return {
        "knob": pending.knob,
        "target": pending.target,
        "wanted": pending.after,
        "now": checked.now,
        "effective": effect.value if effect else None,
        "says": says,
        "detail": detail,
    }


def every_knob() -> list[View]:
    """Each with its manual."""
    return [
        {
            "name": one.knob.name,
            "use": one.knob.use,
            "through": one.knob.through,
            "stage": one.knob.stage,
            "rivals": list(one.knob.rivals),
            "manual": one.manual,
        }
        for one in knobs.described().values()
    ]


def profile(of: Profile) -> View:
    """With its settings as text."""
    return {
        "name": of.name,
        "summary": of.summary,
        "file": of.file,
        "settings": {name: str(setting) for name, setting in of.settings.items()},
        "headroom": of.headroom,
    }
