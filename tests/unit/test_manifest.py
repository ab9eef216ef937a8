"""Manifests: the tree depends on the set of files alone, and a change touches only what is on the way to it."""

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlosd.projects import manifest
from mlosd.projects.manifest import Change, Entry, ManifestDamaged

paths = st.binary(min_size=1, max_size=6)
files = st.builds(Entry, paths, st.integers(0, 1 << 60), st.sampled_from([bytes([n]) * 32 for n in range(3)]))
trees = st.dictionaries(paths, st.tuples(st.integers(0, 1 << 60), st.integers(0, 2)), max_size=60).map(
    lambda found: {path: Entry(path, size, bytes([n]) * 32) for path, (size, n) in found.items()}
)


class Nodes(dict[bytes, bytes]):
    """Where nodes are kept, and how often they were read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.writes = 0

    def get_node(self, digest: bytes) -> bytes:
        self.reads += 1
        return self[digest]

    def put(self, digest: bytes, content: bytes) -> None:
        self.writes += 1
        self[digest] = content


@pytest.fixture(autouse=True, scope="module")
def _small_buckets() -> Iterator[None]:
    """Trees of a few files are as deep as those of millions."""
    before = manifest.BUCKET
    manifest.BUCKET = 3
    yield
    manifest.BUCKET = before


def many(count: int) -> list[Entry]:
    return [Entry(b"images/%07d.png" % n, n, hashlib.sha256(b"%d" % n).digest()) for n in range(count)]


@given(trees, st.randoms(use_true_random=False))
def test_the_order_in_which_files_come_does_not_matter(tree: dict[bytes, Entry], random: object) -> None:
    shuffled = list(tree.values())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    nodes = Nodes()
    assert manifest.build(tree.values(), nodes.put) == manifest.build(shuffled, nodes.put)


@given(st.lists(st.tuples(paths, st.one_of(st.none(), files)), max_size=80), st.integers(1, 9))
@settings(deadline=None)
def test_whatever_was_added_changed_and_removed_the_tree_is_that_of_what_is_left(
    steps: list[tuple[bytes, Entry | None]], at_once: int
) -> None:
    nodes, now = Nodes(), dict[bytes, Entry]()
    root = manifest.build((), nodes.put)
    for begin in range(0, len(steps), at_once):
        changes = {
            path: entry and Entry(path, entry.size, entry.digest) for path, entry in steps[begin : begin + at_once]
        }
        root = manifest.update(root, changes, nodes.get_node, nodes.put)
        for path, entry in changes.items():
            now.pop(path, None)
            if entry:
                now[path] = entry
    assert root == manifest.build(now.values(), Nodes().put)
    assert {entry.path: entry for entry in manifest.entries(root, nodes.get_node)} == now
    held = manifest.summary(root, nodes.get_node)
    assert (held.files, held.size) == (len(now), sum(entry.size for entry in now.values()))


@given(trees, trees)
@settings(deadline=None)
def test_the_difference_of_two_trees_is_that_of_their_sets(a: dict[bytes, Entry], b: dict[bytes, Entry]) -> None:
    nodes = Nodes()
    one, other = (manifest.build(tree.values(), nodes.put) for tree in (a, b))
    told = {change.path: change for change in manifest.diff(one, other, nodes.get_node)}
    assert told == {
        path: Change(path, a.get(path), b.get(path)) for path in a.keys() | b.keys() if a.get(path) != b.get(path)
    }


@given(trees, paths)
def test_a_file_is_found_by_its_path(tree: dict[bytes, Entry], path: bytes) -> None:
    nodes = Nodes()
    root = manifest.build(tree.values(), nodes.put)
    assert manifest.find(root, path, nodes.get_node) == tree.get(path)
    assert all(manifest.find(root, one, nodes.get_node) == entry for one, entry in tree.items())


def test_a_changed_file_costs_the_nodes_on_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "BUCKET", 16)
    nodes, entries = Nodes(), many(5_000)
    root = manifest.build(entries, nodes.put)
    nodes.reads = nodes.writes = 0
    changed = Entry(entries[77].path, 1, b"x" * 32)
    new = manifest.update(root, {changed.path: changed}, nodes.get_node, nodes.put)
    assert nodes.writes <= 5
    assert nodes.reads <= 10
    nodes.reads = 0
    assert list(manifest.diff(root, new, nodes.get_node)) == [Change(changed.path, entries[77], changed)]
    assert nodes.reads <= 16
    assert manifest.update(new, {changed.path: entries[77]}, nodes.get_node, nodes.put) == root


def test_an_update_writes_no_node_that_the_tree_does_not_have() -> None:
    nodes, entries = Nodes(), many(200)
    root = manifest.build(entries, nodes.put)
    written: dict[bytes, bytes] = {}
    gone: dict[bytes, Entry | None] = {entry.path: None for entry in entries[2:]}
    small = manifest.update(root, gone, nodes.get_node, written.__setitem__)
    assert list(written) == [small]


def test_an_empty_directory_has_a_manifest() -> None:
    nodes = Nodes()
    root = manifest.build((), nodes.put)
    assert manifest.summary(root, nodes.get_node) == manifest.Summary(0, 0)
    assert list(manifest.entries(root, nodes.get_node)) == []


def test_the_encoding_never_changes() -> None:
    # Manifests of released versions lie in databases.
    nodes = Nodes()
    root = manifest.build(many(10), nodes.put)
    assert root.hex() == "c20f658c7df71b05edbd29572c3c52ae640891c24b380cee14140f236adaa8a9"


def test_a_path_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        manifest.build([Entry(b"a", 1, b"1" * 32), Entry(b"a", 2, b"2" * 32)], Nodes().put)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x01", b"\x01\x00", b"\x02\x00\x00", b"\x01\x00\x05", b"\x01\x00\x01\xff", b"\x01\x01\x03\x03\x01\x00"],
)
def test_a_damaged_node_is_told_from_a_tree(content: bytes) -> None:
    with pytest.raises(ManifestDamaged):
        list(manifest.entries(b"r" * 32, lambda digest: content))


def test_trees_that_build_made_are_ours() -> None:
    for count in (0, 1, 300, 5000):
        nodes = Nodes()
        root = manifest.build(many(count), nodes.put)
        assert manifest.is_ours(root, nodes.get_node, {})


def test_a_tree_that_a_few_nodes_pretend_to_be_endless_is_not_ours() -> None:
    nodes: dict[bytes, bytes] = {}

    def put(content: bytes) -> bytes:
        digest = hashlib.sha256(content).digest()
        nodes[digest] = content
        return digest

    def inner(files: int, *children: bytes) -> bytes:
        bits = (1 << len(children)) - 1
        return put(bytes((manifest.VERSION, 1, files, files)) + bits.to_bytes(2, "little") + b"".join(children))

    leaf = put(manifest.encode_leaf([Entry(b"a", 1, b"1" * 32)]))
    empty = put(manifest.encode_leaf([]))
    wide = deep = empty_deep = leaf
    for _ in range(40):
        wide = inner(1, *[wide] * 16)
    for _ in range(2000):
        deep, empty_deep = inner(1, deep), inner(0, empty)
    padded = put(bytes((manifest.VERSION, 0, 0x81, 0)) + nodes[leaf][3:])
    for root in (wide, deep, empty_deep, padded, inner(0, empty), inner(1, b"missing " * 4)):
        assert not manifest.is_ours(root, nodes.__getitem__, {})
    assert manifest.is_ours(empty, nodes.__getitem__, {})


def test_a_number_without_end_is_damage() -> None:
    with pytest.raises(ManifestDamaged):
        list(manifest.entries(b"r" * 32, lambda digest: b"\x01\x00" + b"\x80" * (1 << 20)))
