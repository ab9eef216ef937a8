"""What is known of the files of a dataset: packed, mended by appending, believed only as far as it is whole."""

import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.projects import inventory, manifest, state
from mlosd.projects.inventory import Task
from mlosd.projects.manifest import Entry
from mlosd.projects.state import Record

whole = st.builds(
    Record,
    st.binary(min_size=1, max_size=8),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 1 << 60),
    st.integers(-(1 << 60), 1 << 60),
    st.integers(0, 1 << 60),
    st.one_of(st.none(), st.binary(min_size=32, max_size=32).filter(any)),
)


@given(st.lists(whole))
def test_records_are_read_as_they_were_written(records: list[Record]) -> None:
    assert list(state.records(io.BytesIO(b"".join(map(state.encode, records))))) == records


@given(st.lists(whole, min_size=1, max_size=5), st.integers(0, 400), st.integers(1, 255))
def test_what_follows_a_damaged_record_is_not_believed(records: list[Record], at: int, flip: int) -> None:
    data = bytearray(b"".join(map(state.encode, records)))
    data[at % len(data)] ^= flip
    read = list(state.records(io.BytesIO(bytes(data))))
    assert read == records[: len(read)]
    assert len(read) < len(records)


@given(st.lists(whole, max_size=8, unique_by=lambda r: r.path), st.lists(whole, max_size=8, unique_by=lambda r: r.path))
def test_what_was_seen_since_counts(before: list[Record], since: list[Record]) -> None:
    gone = {r.path for r in since[::2]}
    changes = {r.path: r._replace(size=-1) if r.path in gone else r for r in since}
    expected = {r.path: r for r in before} | {r.path: r for r in since}
    left = sorted(r for r in expected.values() if r.path not in gone)
    assert list(state.merged(iter(sorted(before)), changes)) == left


def test_changes_without_their_end_are_not_believed(tmp_path: Path) -> None:
    one, two = (Record(name, 1, 2, 3, 4, b"d" * 32) for name in (b"one", b"two"))
    file = tmp_path / "changes"
    state.append(file, [one], b"r" * 32)
    state.append(file, [two], b"s" * 32)
    for cut, expected in ((0, ({b"one": one, b"two": two}, b"s" * 32)), (1, ({b"one": one}, b"r" * 32))):
        data = file.read_bytes()
        assert state.changes(io.BytesIO(data[: len(data) - cut])) == expected


class Dataset:
    """A directory, the state of its last inventory, and the nodes of its manifests."""

    def __init__(self, directory: Path) -> None:
        self.top = directory / "top"
        self.top.mkdir()
        self.files = {kind: directory / kind for kind in ("state", "changes", "partial", "out", "result")}
        self.nodes: dict[bytes, bytes] = {}
        self.root: bytes | None = None

    def write(self, path: str, text: str) -> None:
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def take(self) -> dict[str, Any]:
        """Take inventory, and do with what it says what the daemon does."""
        flags = dict.fromkeys(("state", "changes", "partial"), os.O_RDONLY)
        flags |= dict.fromkeys(("out", "result"), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        fds = {k: os.open(self.files[k], f) if f or self.files[k].exists() else -1 for k, f in flags.items()}
        fds["directory"] = os.open(self.top, os.O_RDONLY)
        task = Task(**fds, root=self.root.hex() if self.root else None, uid=os.geteuid(), gid=os.getegid(), groups=[])
        command = [sys.executable, "-P", "-m", "mlosd.projects.inventory", json.dumps(asdict(task))]
        handed = [fd for fd in fds.values() if fd >= 0]
        done = subprocess.run(command, pass_fds=handed, stdout=subprocess.PIPE, text=True, check=True)
        for fd in handed:
            os.close(fd)
        tally: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        with open(self.files["result"], "rb") as result:
            if tally["built"]:
                for content in inventory.nodes(result):
                    self.nodes[self.digest(content)] = content
                self.root = bytes.fromhex(tally["built"])
            else:
                assert self.root
                changes = {
                    r.path: None if r.size < 0 or r.digest is None else Entry(r.path, r.size, r.digest)
                    for r in state.records(result)
                }
                self.root = manifest.update(self.root, changes, self.nodes.__getitem__, self.nodes.__setitem__)
        assert self.root
        state.finish(self.files["out"], self.root, final=self.files["state"])
        self.files["changes"].unlink(missing_ok=True)
        return tally

    def content(self) -> dict[bytes, bytes]:
        """What the manifest says, beside what is there."""
        assert self.root
        found = {e.path: e.digest for e in manifest.entries(self.root, self.nodes.__getitem__)}
        there = {
            os.fsencode(file.relative_to(self.top)): self.digest(file.read_bytes())
            for file in self.top.rglob("*")
            if file.is_file()
        }
        assert found == there
        return found

    @staticmethod
    def digest(content: bytes) -> bytes:
        import hashlib

        return hashlib.sha256(content).digest()


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    dataset = Dataset(tmp_path)
    for n in range(20):
        dataset.write(f"{n % 3}/{n}.png", str(n))
    dataset.write("0.png", "beside the directory 0")
    yield dataset


def test_only_what_changed_is_read_again(dataset: Dataset) -> None:
    assert dataset.take()["hashed"] == 21
    assert dataset.take()["hashed"] == 0
    dataset.write("1/4.png", "another")
    dataset.write("new/file", "new")
    (dataset.top / "2/5.png").unlink()
    (dataset.top / "0/0.png").rename(dataset.top / "0/zero.png")
    told = dataset.take()
    assert (told["hashed"], told["changes"], told["built"]) == (3, 5, None)
    assert len(dataset.content()) == 21


def test_a_manifest_that_is_changed_is_the_one_that_is_built(dataset: Dataset, tmp_path: Path) -> None:
    dataset.take()
    for n, name in itertools.product(range(3), ("a", "b")):
        dataset.write(f"{n}/{name}", name)
    dataset.take()
    changed, dataset.root = dataset.root, None
    assert dataset.take()["built"] == (changed and changed.hex())


def test_a_damaged_state_is_read_as_far_as_it_goes_and_the_rest_anew(dataset: Dataset) -> None:
    dataset.take()
    data = bytearray(dataset.files["state"].read_bytes())
    data[len(data) // 2] ^= 1
    dataset.files["state"].write_bytes(bytes(data))
    assert 5 < dataset.take()["hashed"] < 16
    dataset.content()
    dataset.files["state"].write_bytes(b"nonsense")
    assert dataset.take()["hashed"] == 21
    dataset.content()


def test_an_inventory_that_was_cut_short_is_gone_on_with(dataset: Dataset) -> None:
    dataset.take()
    whole, dataset.root = dataset.files["state"].read_bytes(), None
    dataset.files["state"].unlink()
    dataset.files["partial"].write_bytes(whole[: len(whole) // 2])
    assert 5 < dataset.take()["hashed"] < 16
    dataset.content()


def test_a_file_that_is_being_written_is_what_it_was(dataset: Dataset) -> None:
    dataset.take()
    before = dataset.content()
    with (dataset.top / "0/0.png").open("w") as file, (dataset.top / "0/fresh").open("w") as fresh:
        file.write("half")
        fresh.write("half")
        file.flush()
        told = dataset.take()
    assert told["busy"] == 2
    assert {e.path: e.digest for e in manifest.entries(dataset.root or b"", dataset.nodes.__getitem__)} == before
    assert dataset.take()["hashed"] == 2
    dataset.content()


def test_links_fifos_and_names_of_any_bytes(dataset: Dataset) -> None:
    (dataset.top / "link").symlink_to("/etc/passwd")
    (dataset.top / "loop").symlink_to(".")
    os.mkfifo(dataset.top / "fifo")
    dataset.write(os.fsdecode(b"caf\xe9\nnew line"), "x")
    (dataset.top / ".git").mkdir()
    (dataset.top / ".git/config").write_text("")
    dataset.take()
    names = {e.path for e in manifest.entries(dataset.root or b"", dataset.nodes.__getitem__)}
    assert len(names) == 22
    assert b"caf\xe9\nnew line" in names


def test_a_file_that_has_just_changed_is_looked_at_when_a_further_change_would_show(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    inventory.wait_while_racy(file.stat())
    assert time.time_ns() - file.stat().st_ctime_ns >= inventory.RACY_NS
