"""Properties of slices, as knobs want them: by way of PID 1, until the next boot. Reads only."""

from collections.abc import Iterable, Iterator

from mlosd.mode.knob import Cannot, Want, Wish, number
from mlosd.mode.scene import Scene, Setting
from mlosd.undo.systemd import Systemd

ABOVE_JOBS = "mlos.slice"
NOTHING_THERE = "nothing runs there now"
NO_SYSTEMD = "PID 1 is not systemd: nobody else may set a slice"


def background(scene: Scene) -> tuple[str, ...]:
    """Where everything runs that is not training: the system, people, machines, and our own jobs of less hurry."""
    ours = scene.slice_.removesuffix(".slice")
    return ("system.slice", "user.slice", "machine.slice", f"{ours}-ci.slice", f"{ours}-data.slice")


def each(scene: Scene, units: Iterable[str], name: str, value: object, *, void: str | None = None) -> Iterator[Wish]:
    """That each unit that is active has this property. One that becomes active later is seen by who watches."""
    for unit in units:
        if scene.host.pid1 is None:
            yield Cannot(f"{unit} {name}", NO_SYSTEMD)
        elif scene.holds_training(_cgroup(unit)):
            yield Cannot(f"{unit} {name}", "training itself runs there")
        elif not _is_active(scene.host.pid1, unit):
            yield Cannot(f"{unit} {name}", NOTHING_THERE)
        else:
            yield Want("unit", f"{unit} {name}", f"{value} runtime", void)


def training(scene: Scene, name: str, value: object, *, void: str | None = None) -> Wish:
    """That the slice above all jobs has this property."""
    if scene.host.pid1 is None:
        return Cannot(f"{scene.slice_} {name}", NO_SYSTEMD)
    if not _is_active(scene.host.pid1, scene.slice_):
        return Cannot(f"{scene.slice_} {name}", NOTHING_THERE)
    return Want("unit", f"{scene.slice_} {name}", f"{value} runtime", void)


def weight_or_idle(setting: Setting) -> None:
    """Accepts what CPUWeight= of systemd.resource-control(5) does."""
    if setting != "idle":
        try:
            number(1, 10_000)(setting)
        except ValueError as e:
            raise ValueError(f'"idle", or {e}') from e


def _is_active(pid1: Systemd, unit: str) -> bool:
    # A property of one that is not makes PID 1 make its cgroup, and leave it behind.
    return pid1.state(unit) == "active"


def _cgroup(unit: str) -> str:
    """Where a slice is in the tree: "a-b.slice" is below "a.slice" (systemd.slice(5))."""
    stem, _, kind = unit.rpartition(".")
    parts = stem.split("-") if kind == "slice" else [stem]
    return "/".join(f"{'-'.join(parts[: depth + 1])}.{kind}" for depth in range(len(parts)))
