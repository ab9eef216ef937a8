"""What differs between two runs: what was asked, with what, on what, from what, and what came out. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mlosd.lineage.facts import Facts
from mlosd.store.lineage import WRITE, Described, Edge

_KINDS = {"code": "code", "config": "config", "library": "library"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two runs differ; None: that run has no such thing."""

    what: str
    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True)
class File:
    """A file as a run found it, or left it. `kind`: code, config, library, input or output."""

    kind: str
    path: str
    version: int
    digest: bytes | None

    @property
    def content(self) -> str:
        """What tells it from another: its digest, where somebody took it."""
        return self.digest.hex() if self.digest is not None else f"version {self.version}, not digested"


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a run used and made. Files by resource: the same file has the same key in both."""

    argv: tuple[str, ...]
    cwd: str
    result: str | None
    facts: Facts
    inputs: Mapping[str, File] = field(default_factory=dict)
    outputs: Mapping[str, File] = field(default_factory=dict)


def files(edges: Iterable[Edge], versions: Mapping[int, Described]) -> tuple[dict[str, File], dict[str, File]]:
    """What a run found, and what it left: of each file the first version that it read and the last that it wrote."""
    inputs: dict[str, File] = {}
    outputs: dict[str, File] = {}
    for edge in sorted(edges, key=lambda edge: (edge.first_use_ns, edge.version)):
        row = versions.get(edge.version)
        if row is None or row.role == "temporary":
            continue
        path = row.path if row.path.startswith("/") else f"{row.root.rstrip('/')}/{row.path}"
        if edge.modes & WRITE:
            last = outputs.get(row.resource)
            if last is None or last.version < row.number:
                outputs[row.resource] = File("output", path, row.number, row.digest)
        elif row.made_by != edge.run:
            inputs.setdefault(row.resource, File(_KINDS.get(row.role, "input"), path, row.number, row.digest))
    return inputs, outputs


def differences(a: Manifest, b: Manifest) -> list[Difference]:
    """Everything in which they differ, what explains most first."""
    return [
        *_arguments(a.argv, b.argv),
        *_one("directory", "", a.cwd, b.cwd),
        *_maps("environment", a.facts.environment, b.facts.environment),
        *(_each("repository", ("commit", "branch", "dirty", "untracked"), a.facts, b.facts)),
        *_one("python", "", a.facts.python, b.facts.python),
        *_maps("package", _packages(a.facts), _packages(b.facts)),
        *_each("machine", ("kernel", "cpu"), a.facts, b.facts),
        *_one("machine", "gpus", ", ".join(a.facts.gpus) or None, ", ".join(b.facts.gpus) or None),
        *(d for kind in ("input", "code", "config", "library") for d in _files(kind, a.inputs, b.inputs)),
        *_files("output", a.outputs, b.outputs),
        *_one("result", "", a.result, b.result),
    ]


def same_outputs(a: Manifest, b: Manifest) -> int:
    """How many files both wrote with the same content."""
    return sum(1 for key, file in a.outputs.items() if key in b.outputs and _is_same(file, b.outputs[key]))


def _arguments(a: tuple[str, ...], b: tuple[str, ...]) -> Iterator[Difference]:
    for position in range(max(len(a), len(b))):
        yield from _one(
            "argument", str(position), *(argv[position] if position < len(argv) else None for argv in (a, b))
        )


def _one(what: str, name: str, a: str | None, b: str | None) -> Iterator[Difference]:
    if a != b:
        yield Difference(what, name, a, b)


def _each(what: str, names: Iterable[str], a: Facts, b: Facts) -> Iterator[Difference]:
    for name in names:
        yield from _one(what, name, getattr(a, name), getattr(b, name))


def _maps(what: str, a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(a.keys() | b.keys()):
        yield from _one(what, name, a.get(name), b.get(name))


def _packages(facts: Facts) -> dict[str, str]:
    return {package.name: package.version for package in facts.packages}


def _files(kind: str, a: Mapping[str, File], b: Mapping[str, File]) -> Iterator[Difference]:
    found = {key: (a.get(key), b.get(key)) for key in (*a, *b)}
    for one, other in sorted(found.values(), key=lambda pair: (pair[0] or pair[1] or _NONE).path):
        known = one or other
        assert known is not None
        if known.kind == kind and not (one and other and _is_same(one, other)):
            yield Difference(kind, known.path, one.content if one else None, other.content if other else None)


def _is_same(a: File, b: File) -> bool:
    return a.version == b.version or (a.digest is not None and a.digest == b.digest)


_NONE = File("", "", 0, None)
