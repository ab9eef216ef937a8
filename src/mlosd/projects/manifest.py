"""Merkle manifests: what a directory tree contains, in nodes that are named by their SHA-256. Pure.

A trie over SHA-256(path): a node that holds at most BUCKET files is a leaf, a larger one has a child for each value of
the next four bits. So its shape depends on the set of files alone, however that came to be; two trees that differ in
one file share all nodes but those on the way to it, and equal trees have one digest.

Nodes are read by `get` and written by `put`; where they are kept is the caller's business.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter, itemgetter

VERSION = 1
BUCKET = 256
FAN_OUT = 16
DIGEST = 32
_LONGEST_VARINT = 63  # bits

Get = Callable[[bytes], bytes]
Put = Callable[[bytes, bytes], None]


class ManifestDamaged(ValueError):
    """A node that is missing, or that nobody of ours wrote."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the tree: its path below the top, its size, the SHA-256 of what it contains."""

    path: bytes
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """A file that is not the same in two trees. `before` None: it is new; `after` None: it is gone."""

    path: bytes
    before: Entry | None
    after: Entry | None


@dataclass(frozen=True, slots=True)
class Summary:
    """How many files a tree has, and how many bytes they are."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class _Leaf:
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Inner:
    files: int
    size: int
    children: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class _Tree:
    """A subtree. No digest: it is empty."""

    digest: bytes | None
    files: int
    size: int


_Keyed = tuple[bytes, Entry]
_Wish = tuple[bytes, bytes, Entry | None]
_first = itemgetter(0)


def build(entries: Iterable[Entry], put: Put) -> bytes:
    """Write the tree of these files; the digest of its root. ValueError: a path comes twice."""
    keyed = sorted(((_key(entry.path), entry) for entry in entries), key=_first)
    if any(one[0] == next_[0] for one, next_ in pairwise(keyed)):
        raise ValueError("a path comes twice")
    return _plant(keyed, 0, put).digest or _put_leaf((), put)


def update(root: bytes, changes: Mapping[bytes, Entry | None], get: Get, put: Put) -> bytes:
    """The tree with these paths set, or taken away (None). Reads and writes only the nodes on the way to them."""
    fresh: dict[bytes, bytes] = {}

    def look(digest: bytes) -> bytes:
        return fresh[digest] if digest in fresh else get(digest)

    wishes = sorted(((_key(path), path, entry) for path, entry in changes.items()), key=_first)
    changed = _change(root, wishes, 0, look, fresh.__setitem__)
    new = changed.digest or _put_leaf((), fresh.__setitem__)
    _keep(new, fresh, put)
    return new


def diff(a: bytes | None, b: bytes | None, get: Get) -> Iterator[Change]:
    """What differs between two trees (None: an empty one), in no order. What they share is not looked at."""
    if a == b:
        return
    one, other = (_read(digest, get) if digest else _Leaf(()) for digest in (a, b))
    if isinstance(one, _Inner) and isinstance(other, _Inner):
        for left, right in zip(one.children, other.children, strict=True):
            yield from diff(left, right, get)
        return
    before, after = ({e.path: e for e in entries(digest, get)} if digest else {} for digest in (a, b))
    for path in before.keys() | after.keys():
        if before.get(path) != after.get(path):
            yield Change(path, before.get(path), after.get(path))


def entries(root: bytes, get: Get) -> Iterator[Entry]:
    """Every file of a tree, in no order."""
    node = _read(root, get)
    if isinstance(node, _Leaf):
        yield from node.entries
    else:
        for child in filter(None, node.children):
            yield from entries(child, get)


def find(root: bytes, path: bytes, get: Get) -> Entry | None:
    """The file of this path."""
    key, depth, node = _key(path), 0, _read(root, get)
    while isinstance(node, _Inner):
        child = node.children[_nibble(key, depth)]
        if child is None:
            return None
        node, depth = _read(child, get), depth + 1
    return next((entry for entry in node.entries if entry.path == path), None)


def children(content: bytes) -> list[bytes]:
    """The digests of the nodes right below a node, by its content."""
    node = _read(b"", lambda _: content)
    return [] if isinstance(node, _Leaf) else [child for child in node.children if child]


def summary(root: bytes, get: Get) -> Summary:
    """How much a tree holds, from its root alone."""
    return _sum(_read(root, get))


def is_ours(root: bytes, get: Get, checked: dict[tuple[bytes, bytes], Summary]) -> bool:
    """Whether a tree that comes from elsewhere is whole, and as `build` makes them: every file in its one place.

    Of another one a few nodes can be a tree without end. `checked`: what is known already of its nodes.
    """
    try:
        _check(root, b"", get, checked)
    except (LookupError, ManifestDamaged):
        return False
    return True


def encode_leaf(files: Iterable[Entry]) -> bytes:
    """The content of a leaf: the same bytes for the same set."""
    sorted_files = sorted(files, key=attrgetter("path"))
    out = bytearray((VERSION, 0))
    out += _varint(len(sorted_files))
    for file in sorted_files:
        out += _varint(len(file.path)) + file.path + _varint(file.size) + file.digest
    return bytes(out)


def _encode_inner(node: _Inner) -> bytes:
    bits = sum(1 << index for index, child in enumerate(node.children) if child)
    head = bytes((VERSION, 1)) + _varint(node.files) + _varint(node.size) + bits.to_bytes(2, "little")
    return head + b"".join(filter(None, node.children))


def _read(digest: bytes, get: Get) -> _Leaf | _Inner:
    content = get(digest)
    try:
        if content[0] != VERSION:
            raise ManifestDamaged(f"node {digest.hex()} is of version {content[0]}, this program knows {VERSION}")
        return _decode_inner(content) if content[1] else _decode_leaf(content)
    except IndexError as e:
        raise ManifestDamaged(f"node {digest.hex()} is cut off") from e


def _decode_leaf(content: bytes) -> _Leaf:
    count, at = _read_varint(content, 2)
    found = []
    for _ in range(count):
        length, at = _read_varint(content, at)
        path, at = content[at : at + length], at + length
        size, at = _read_varint(content, at)
        digest, at = content[at : at + DIGEST], at + DIGEST
        found.append(Entry(path, size, digest))
    if at != len(content):
        raise ManifestDamaged("a leaf that does not end where it should")
    return _Leaf(tuple(found))


def _decode_inner(content: bytes) -> _Inner:
    files, at = _read_varint(content, 2)
    size, at = _read_varint(content, at)
    bits, at = int.from_bytes(content[at : at + 2], "little"), at + 2
    children: list[bytes | None] = []
    for index in range(FAN_OUT):
        present = bits >> index & 1
        children.append(content[at : at + DIGEST] if present else None)
        at += DIGEST * present
    if at != len(content):
        raise ManifestDamaged("an inner node that does not end where it should")
    return _Inner(files, size, tuple(children))


def _check(digest: bytes, at: bytes, get: Get, checked: dict[tuple[bytes, bytes], Summary]) -> Summary:
    """What a subtree holds. `at`: the nibbles that lead to it. Raises ManifestDamaged, LookupError."""
    if (known := checked.get((digest, at))) is not None:
        return known
    if len(at) > 2 * DIGEST:
        raise ManifestDamaged("deeper than its keys are long")
    content = get(digest)
    node = _read(digest, lambda _: content)
    held = _sum(node)
    if isinstance(node, _Leaf):
        keys = [_key(entry.path) for entry in node.entries]
        is_ours = encode_leaf(node.entries) == content and all(
            _nibble(key, depth) == nibble for key in keys for depth, nibble in enumerate(at)
        )
        is_ours = is_ours and len(set(keys)) == len(keys) and bool(keys or not at)
    else:
        below = [(bytes((nibble,)), child) for nibble, child in enumerate(node.children) if child]
        found = [_check(child, at + nibble, get, checked) for nibble, child in below]
        is_ours = _encode_inner(node) == content and bool(found)
        is_ours = is_ours and held == Summary(sum(one.files for one in found), sum(one.size for one in found))
    if not is_ours:
        raise ManifestDamaged(f"node {digest.hex()} is none that we would write")
    checked[digest, at] = held
    return held


def _plant(keyed: Sequence[_Keyed], depth: int, put: Put) -> _Tree:
    """The subtree of files sorted by key, all of which begin with the same `depth` nibbles."""
    if not keyed:
        return _Tree(None, 0, 0)
    if len(keyed) <= BUCKET:
        return _Tree(_put_leaf([entry for _, entry in keyed], put), len(keyed), sum(entry.size for _, entry in keyed))
    children, begin = [], 0
    for value in range(FAN_OUT):
        end = bisect_left(keyed, value + 1, begin, key=lambda one: _nibble(one[0], depth))
        children.append(_plant(keyed[begin:end], depth + 1, put))
        begin = end
    return _put_inner(children, put)


def _change(digest: bytes | None, wishes: Sequence[_Wish], depth: int, get: Get, put: Put) -> _Tree:
    node = _Leaf(()) if digest is None else _read(digest, get)
    if isinstance(node, _Leaf):
        by_path = {entry.path: entry for entry in node.entries}
        for _, path, entry in wishes:
            by_path.pop(path, None)
            if entry is not None:
                by_path[path] = entry
        return _plant(sorted(((_key(path), entry) for path, entry in by_path.items()), key=_first), depth, put)
    files, size, children = node.files, node.size, list(node.children)
    for value, some in _by_nibble(wishes, depth):
        before = _held(children[value], get)
        after = _change(children[value], some, depth + 1, get, put)
        files, size = files + after.files - before.files, size + after.size - before.size
        children[value] = after.digest
    if files > BUCKET:
        return _Tree(_put(_encode_inner(_Inner(files, size, tuple(children))), put), files, size)
    left = [entry for child in filter(None, children) for entry in entries(child, get)]
    return _plant(sorted(((_key(entry.path), entry) for entry in left), key=_first), depth, put)


def _keep(root: bytes, fresh: Mapping[bytes, bytes], put: Put) -> None:
    """Write those of the fresh nodes that the tree has in the end."""
    if (content := fresh.get(root)) is None:
        return
    put(root, content)
    node = _read(root, fresh.__getitem__)
    for child in filter(None, node.children if isinstance(node, _Inner) else ()):
        _keep(child, fresh, put)


def _by_nibble(wishes: Sequence[_Wish], depth: int) -> Iterator[tuple[int, Sequence[_Wish]]]:
    begin = 0
    while begin < len(wishes):
        value = _nibble(wishes[begin][0], depth)
        end = bisect_left(wishes, value + 1, begin, key=lambda wish: _nibble(wish[0], depth))
        yield value, wishes[begin:end]
        begin = end


def _held(digest: bytes | None, get: Get) -> Summary:
    return Summary(0, 0) if digest is None else summary(digest, get)


def _sum(node: _Leaf | _Inner) -> Summary:
    if isinstance(node, _Inner):
        return Summary(node.files, node.size)
    return Summary(len(node.entries), sum(entry.size for entry in node.entries))


def _put_leaf(files: Iterable[Entry], put: Put) -> bytes:
    return _put(encode_leaf(files), put)


def _put_inner(children: Sequence[_Tree], put: Put) -> _Tree:
    files, size = sum(child.files for child in children), sum(child.size for child in children)
    content = _encode_inner(_Inner(files, size, tuple(child.digest for child in children)))
    return _Tree(_put(content, put), files, size)


def _put(content: bytes, put: Put) -> bytes:
    digest = hashlib.sha256(content).digest()
    put(digest, content)
    return digest


def _key(path: bytes) -> bytes:
    return hashlib.sha256(path).digest()


def _nibble(key: bytes, depth: int) -> int:
    return key[depth >> 1] >> (0 if depth & 1 else 4) & 15


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > _LONGEST_VARINT:
            raise ManifestDamaged("a number without end")
