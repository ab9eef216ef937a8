"""Properties of slices, as knobs want them: by way of PID 1, until the next boot. Reads only."""

from collections.abc import Iterable, Iterator

from mlosd.mode.knob import Cannot, Want, Wish, number
from mlosd.mode.scene import Scene, Setting

NO_SYSTEMD = "PID 1 is not systemd: nobody else may set a slice"


def background(scene: Scene) -> tuple[str, ...]:
    """Where everything runs that is not training: the system, people, machines, and our own jobs of less hurry."""
    ours = scene.slice_.removesuffix(".slice")
    return ("system.slice", "user.slice", "machine.slice", f"{ours}-ci.slice", f"{ours}-data.slice")


def each(scene: Scene, units: Iterable[str], name: str, value: object, *, void: str | None = None) -> Iterator[Wish]:
    """That each unit has this property. Also one that nothing runs in now: somebody may log in during the mode."""
    for unit in units:
        if scene.host.pid1 is None:
            yield Cannot(f"{unit} {name}", NO_SYSTEMD)
        elif scene.holds_training(_cgroup(unit)):
            yield Cannot(f"{unit} {name}", "training itself runs there")
        else:
            yield Want("unit", f"{unit} {name}", f"{value} runtime", void)


def training(scene: Scene, name: str, value: object, *, void: str | None = None) -> Wish:
    """That the slice above all jobs has this property."""
    if scene.host.pid1 is None:
        return Cannot(f"{scene.slice_} {name}", NO_SYSTEMD)
    return Want("unit", f"{scene.slice_} {name}", f"{value} runtime", void)


def weight_or_idle(setting: Setting) -> None:
    """Accepts what CPUWeight= of systemd.resource-control(5) does."""
    if setting != "idle":
        try:
            number(1, 10_000)(setting)
        except ValueError as e:
            raise ValueError(f'"idle", or {e}') from e


def _cgroup(unit: str) -> str:
    """Where a slice is in the tree: "a-b.slice" is below "a.slice" (systemd.slice(5))."""
    stem, _, kind = unit.rpartition(".")
    parts = stem.split("-") if kind == "slice" else [stem]
    return "/".join(f"{'-'.join(parts[: depth + 1])}.{kind}" for depth in range(len(parts)))
