"""Where work that is not training's may run: CPU masks and lists without the training CPUs.

What is there already is kept as far as it can be: an interrupt that was on two CPUs near its device, one of which is
training's, stays on the other.
"""

from collections.abc import Collection
from pathlib import Path

from mlosd.kernel import cpumask
from mlosd.mode.knob import Cannot, Want, Wish
from mlosd.mode.scene import Scene


def undivided(scene: Scene) -> str | None:
    """Why nothing is to be moved away from training; None where it has CPUs of its own."""
    if not scene.training:
        return "training shares all CPUs"
    if not scene.housekeeping:
        return "training has all CPUs: none is left for anything else"
    return None


def without_training(allowed: Collection[int], scene: Scene) -> tuple[int, ...]:
    """Those of `allowed` that are not training's; all that are left to everybody else where none of them runs."""
    left = frozenset(allowed) - scene.training
    # CPUs that are offline, or were never there, stay in a mask: one that comes later is nobody's yet.
    return tuple(sorted(left if left & scene.housekeeping else scene.housekeeping))


def mask(file: Path, scene: Scene) -> Wish:
    """That a file with a CPU mask has no training CPU in it. As it is, word for word, where it has none already."""
    if reason := undivided(scene):
        return Cannot(str(file), reason)
    try:
        text = file.read_text(encoding="ascii").strip()
        allowed = cpumask.parse(text)
    except FileNotFoundError:
        return Cannot(str(file), "this kernel, or this machine, does not have it")
    except OSError as e:
        return Cannot(str(file), e.strerror or str(e))
    except ValueError as e:
        return Cannot(str(file), str(e))
    if scene.training.isdisjoint(allowed):
        return Want("mask", str(file), text)
    return Want("mask", str(file), cpumask.format(without_training(allowed, scene)))
