"""What a knob is: something of the machine that ML mode may set, and what it wants of it.

A knob decides nothing about when; it looks at the machine and says what it wants, and `plan` compares that with what
is. There are two sorts. A `Knob` wants values of targets: those are written by way of the undo log. A `Hold` is a lease
that the kernel or the bus drops by itself when we die (a descriptor, a name on the bus): it needs no log.

A knob is one module in `mode/knobs/` with a constant KNOB. Its docstring is its manual: mlosd-knobs(7).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from mlosd.core.errors import BadRequest
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.change import NORMAL

LONGEST = 64
# core: without it the mode is not entered. optional: what cannot be set is listed. opt-in: only where a person asked.
Use = Literal["core", "optional", "opt-in"]


@dataclass(frozen=True, slots=True)
class Want:
    """This target shall have this value (None: shall not be there). `kind` is one of mlosd.undo.kinds.

    `note`: what is to be said of it, e.g. "no disk here heeds it": the value is set and does nothing (*void*).
    `rank`: when it is undone (mlosd.undo.change), where that differs from its knob's.
    """

    kind: str
    target: str
    value: str | None
    void: str | None = None
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Cannot:
    """This machine has no such thing, or it is somebody else's now. `target` is a path, a unit, or the thing's name."""

    target: str
    reason: str


Wish = Want | Cannot


class Held(Protocol):
    """A lease that we hold. Dying lets go of it, too."""

    async def release(self) -> None:
        """Let go now."""


@runtime_checkable
class EndsItself(Held, Protocol):
    """A lease that may end without us: its process may die, or somebody may type the panic chord."""

    async def ended(self) -> str:
        """Wait for its end: "panic" where a person wants out of the mode at once; else "ended"."""


@dataclass(frozen=True, slots=True)
class Knob:
    """Wants values of targets.

    `stage`: when it is set, lowest first (reference order: slices 20, CPUs 40, IRQs 50, speed 60, memory 70, GPU 80,
    units 90, input 100). `wishes(setting, scene)` reads the machine and yields what is wanted; it writes nothing.
    `accepts` checks what a profile says and raises ValueError with the reason.
    `rivals`: other programs that set the same, by the name of their unit.
    """

    name: str
    use: Use
    stage: int
    wishes: Callable[[Setting, Scene], Iterable[Wish]]
    accepts: Callable[[Setting], None]
    rank: int = NORMAL
    rivals: tuple[str, ...] = ()
    through: Literal["undo log", "systemd"] = "undo log"


@dataclass(frozen=True, slots=True)
class Hold:
    """A lease. `look(setting, scene)` says, reading only, what would be held: its target and value, or why it cannot.

    `take(setting, scene)` takes it; raises OSError or MlosError where it is refused.
    """

    name: str
    use: Use
    stage: int
    look: Callable[[Setting, Scene], Wish]
    take: Callable[[Setting, Scene], Awaitable[Held]]
    accepts: Callable[[Setting], None]
    rivals: tuple[str, ...] = ()
    through: Literal["lease"] = "lease"


AnyKnob = Knob | Hold


def one_of(*values: Setting) -> Callable[[Setting], None]:
    """Accepts these values only."""

    def accepts(setting: Setting) -> None:
        if setting not in values or isinstance(setting, bool) is not any(isinstance(v, bool) for v in values):
            raise ValueError(f"one of {', '.join(map(_toml, values))}")

    return accepts


def number(low: int, high: int) -> Callable[[Setting], None]:
    """Accepts whole numbers within these bounds."""

    def accepts(setting: Setting) -> None:
        if isinstance(setting, bool) or not isinstance(setting, int) or not low <= setting <= high:
            raise ValueError(f"a whole number from {low} to {high}")

    return accepts


def switch(setting: Setting) -> None:
    """Accepts true (false switches any knob off)."""
    if setting is not True:
        raise ValueError("true or false")


def text(setting: Setting) -> None:
    """Accepts a word or two."""
    if not isinstance(setting, str) or not 1 <= len(setting) <= LONGEST or not setting.isprintable():
        raise ValueError(f"text of 1 to {LONGEST} printable characters")


def sysfs_knob(
    name: str,
    *,
    attr: str,
    accepts: Callable[[Setting], None],
    stage: int,
    use: Use = "optional",
    kind: str = "text",
    under: Literal["sys", "proc"] = "sys",
    rank: int = NORMAL,
    rivals: tuple[str, ...] = (),
) -> Knob:
    """A knob that writes its setting into each file that matches `attr`, below /sys or /proc."""

    def wishes(setting: Setting, scene: Scene) -> Iterator[Wish]:
        files = matching(scene.host.sys if under == "sys" else scene.host.proc, attr)
        if not files:
            yield Cannot(f"/{under}/{attr}", "this kernel, or this machine, does not have it")
        for file in files:
            yield Want(kind, str(file), str(setting))

    return Knob(name, use, stage, wishes, accepts, rank, rivals)


def matching(root: Path, pattern: str) -> list[Path]:
    """The files below `root` that match, in an order that people expect: policy2 before policy10."""
    return sorted(root.glob(pattern), key=lambda file: [(len(part), part) for part in file.parts])


def check(knob: AnyKnob, setting: Setting) -> None:
    """Raises BadRequest where the knob cannot be set to that."""
    try:
        knob.accepts(setting)
    except ValueError as e:
        raise BadRequest(f"knob {knob.name}: {_toml(setting):.60} is not {e}", hint="mlosctl mode knobs") from e


def _toml(value: object) -> str:
    return {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
