"""A machine of four CPUs on two nodes, of which the last two train, and what a knob wants of it."""

from collections.abc import Mapping
from pathlib import Path

from tests.fakes.tree import materialize

from mlosd.kernel.topology import Cpu, Topology
from mlosd.mode import knobs
from mlosd.mode.knob import Knob, Wish
from mlosd.mode.scene import Host, Scene, Setting

TRAINING = frozenset({2, 3})


def machine(
    root: Path, files: Mapping[str, str], *, training: frozenset[int] = TRAINING, nodes: tuple[int, ...] = (0, 0, 1, 1)
) -> Scene:
    """`files`: below sys/ and proc/. `nodes`: the memory node of each CPU."""
    materialize(root, files)
    topology = Topology(tuple(Cpu(number, number, 0, node) for number, node in enumerate(nodes)))
    return Scene(Host(sys=root / "sys", proc=root / "proc"), topology, training)


def wishes(name: str, setting: Setting, scene: Scene) -> list[Wish]:
    """What the knob wants there."""
    knob = knobs.find(name)
    assert isinstance(knob, Knob)
    return list(knob.wishes(setting, scene))
