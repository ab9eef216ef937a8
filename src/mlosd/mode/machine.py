"""The machine that the mode changes, from this process's side: what is read and written, in one thread at a time.

Owns the undo log and the kinds. Must not own: leases, or the decision what is wanted. Everything here blocks; the
service calls it in a thread of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mlosd.kernel import topology
from mlosd.kernel.topology import Topology
from mlosd.mode import division
from mlosd.mode.lease import Effective
from mlosd.mode.plan import Plan, plan
from mlosd.mode.reconcile import Outcome, reconcile
from mlosd.mode.scene import Host, Scene
from mlosd.undo.change import Pending
from mlosd.undo.kind import Kind
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import Report, undo

Pinned = Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, where it was made for, and what is to be said of it."""

    plan: Plan
    scene: Scene
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A target of ours, and what is there now. `is_ours`: it is what we wrote."""

    pending: Pending
    now: str | None
    is_ours: bool
    reason: str | None = None


class Machine:
    """`pins` is made anew for each plan: the administrator's files count as they are then."""

    def __init__(
        self, host: Host, kinds: Mapping[str, Kind], log: Path, *, pins: Callable[[], Pinned], yielded: Pinned
    ) -> None:
        self.host = host
        self.kinds = kinds
        self._log_path = log
        self._pins = pins
        self._yielded = yielded
        self._log: UndoLog | None = None
        self._topology: Topology | None = None

    @property
    def log(self) -> UndoLog:
        """The undo log, ours from now on. Raises Busy while another restorer has it."""
        if self._log is None:
            self._log = UndoLog(self._log_path)
        return self._log

    @property
    def folder(self) -> Path:
        return self._log_path.parent

    def topology(self) -> Topology:
        """Read once, and again after `changed_shape`."""
        if self._topology is None:
            self._topology = topology.read(self.host.sys)
        return self._topology

    def changed_shape(self) -> None:
        """A CPU came or went."""
        self._topology = None

    def scene(self, wish: Effective) -> tuple[Scene, tuple[str, ...]]:
        """Who trains where by this wish, and what is to be said of it."""
        shape = self.topology()
        divided = division.around(shape, wish.pinned, topology.isolated(self.host.sys))
        mount = str(self.host.cgroups)
        members = tuple(member.removeprefix(mount) for member in wish.members)
        scene = Scene(self.host, shape, divided.training, members, wish.memory, wish.gpus)
        return scene, divided.why if wish.pinned else ()

    def plan(self, wish: Effective) -> Planned:
        """What would change for this wish. Reads only."""
        scene, why = self.scene(wish)
        pending = self.log.pending()
        with self._units_listed(wish, pending):
            steps = plan(wish.settings, scene, self.kinds, pending, pinned=self._pins(), yielded=self._yielded)
        return Planned(steps, scene, (*wish.notes, *why))

    def _units_listed(self, wish: Effective, pending: Sequence[Pending]) -> AbstractContextManager[None]:
        """One question about all units instead of one about each. Those that we stopped may not be in the list."""
        if self.host.pid1 is None or not wish.is_on:
            return nullcontext()
        return self.host.pid1.listed(asking={one.target for one in pending if one.kind == "unit-state"})

    def carry_out(self, planned: Planned) -> Outcome:
        """Make it so. Raises CoreRefused, and OSError where the log cannot be written."""
        return reconcile(planned.plan, self.log, self.kinds)

    def restore(self) -> Report:
        """Put everything back, whatever anybody wishes."""
        return undo(self.log, self.kinds)

    def pinned(self, knob: str, target: str) -> str | None:
        """Why this is the administrator's to set, if it is."""
        return self._pins()(knob, target)

    def check(self) -> list[Checked]:
        """Read every target of ours again."""
        return [self._check(pending) for pending in self.log.pending()]

    def check_one(self, key: tuple[str, str]) -> Checked | None:
        """Read one target of ours again; None where it is not ours."""
        pending = self.log.find(key)
        return None if pending is None else self._check(pending)

    def write_again(self, pending: Pending) -> None:
        """What somebody else changed becomes ours again; unless it is not ours any more, or is to be something else."""
        now = self.log.find(pending.key)
        if now is not None and now.after == pending.after:
            self.kinds[pending.kind].write(pending.target, pending.after)

    def let_go(self, pending: Pending) -> None:
        """It is somebody else's from now on: nothing is to be undone there."""
        self.log.settle([pending.key])

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _check(self, pending: Pending) -> Checked:
        kind = self.kinds.get(pending.kind)
        if kind is None:
            return Checked(pending, None, is_ours=False, reason=f"this version knows no kind {pending.kind!r}")
        try:
            now = kind.read(pending.target)
        except OSError as e:
            return Checked(pending, None, is_ours=False, reason=e.strerror or str(e))
        return Checked(pending, now, is_ours=kind.same(now, pending.after))
