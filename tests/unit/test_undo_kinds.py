"""Files as targets: what is read, what is written, what means the same, and what a person may paste."""

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.tree import materialize

from mlosd.undo.change import Change
from mlosd.undo.kind import Kind
from mlosd.undo.kinds.file import Choice, CpuList, Directory, Mask, Pair, Text
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import undo

THP = "sys/kernel/mm/transparent_hugepage/enabled"
FILES: list[Callable[[], Kind]] = [Text, Choice, Mask, CpuList]


def file(root: Path, text: str) -> str:
    return str(materialize(root, {"file": text}) / "file")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), "powersave\n", "powersave"),
        (Text(), "n/a\n", "n/a"),
        (Text(), "max 100000\n", "max 100000"),
        (Text(), "4096\t87380\t6291456\n", "4096\t87380\t6291456"),
        (Text(), "no newline", "no newline"),
        (Text(), "\n", ""),
        (Text(), "", ""),
        (Choice(), "always [madvise] never\n", "madvise"),
        (Choice(), "[none] mq-deadline kyber\n", "none"),
        (Choice(), "[none]\n", "none"),
        (Choice(), "none\n", "none"),
        (Choice(), "always [defer+madvise] never\n", "defer+madvise"),
        (Choice(), "[a] [b]\n", "[a] [b]"),
        (Choice(), "[half\n", "[half"),
        (Choice(), "", ""),
        (Mask(), "ff,ffffffff\n", "ff,ffffffff"),
        (CpuList(), "0-3,8\n", "0-3,8"),
        (CpuList(), "\n", ""),
    ],
)
def test_a_file_reads_as_its_value(tmp_path: Path, kind: Kind, text: str, value: str) -> None:
    assert kind.read(file(tmp_path, text)) == value


def test_bytes_that_are_no_text_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\xff\n")
    value = Text().read(str(tmp_path / "file"))
    Text().write(str(tmp_path / "file"), value)
    assert (tmp_path / "file").read_bytes() == b"a\xff\n"


@pytest.mark.parametrize("kind", [made() for made in FILES])
def test_a_file_that_is_not_there_cannot_be_read_and_is_not_made(tmp_path: Path, kind: Kind) -> None:
    target = str(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        kind.read(target)
    with pytest.raises(FileNotFoundError):
        kind.write(target, "1")
    assert not Path(target).exists()


@pytest.mark.parametrize("kind", [made() for made in FILES])
def test_a_value_is_written_as_one_line(tmp_path: Path, kind: Kind) -> None:
    target = file(tmp_path, "a much longer value\n")
    kind.write(target, "0")
    assert Path(target).read_text() == "0\n"
    kind.write(target, "")
    assert Path(target).read_text() == "\n"


def test_a_value_is_written_by_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def noted(fd: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    target = file(tmp_path, "0\n")
    monkeypatch.setattr("os.write", noted)
    Text().write(target, "schemata of many words")
    monkeypatch.undo()
    assert written == [b"schemata of many words\n"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("f", "0000000f", True),
        ("f", "00000000,0000000f", True),
        ("1,00000000", "00000001,00000000", True),
        ("1,0", "1,00000000", True),
        ("F", "f", True),
        ("f", "7", False),
        ("1,00000000", "1", False),
        ("", "", True),
        ("", "0", False),
        (None, "", False),
        ("no mask", "no mask", True),
        ("no mask", "f", False),
    ],
)
def test_masks_are_the_same_when_they_have_the_same_cpus(one: str | None, other: str | None, same: bool) -> None:
    assert Mask().same(one, other) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0-3", "0,1,2,3", True),
        ("0-1,2-3", "0-3", True),
        ("3,0", "0,3", True),
        ("0-3", "0-2", False),
        ("", "", True),
        ("", "0", False),
        (None, "", False),
        ("0-", "0-", True),
        ("0-", "0", True),
        ("0-31:1/2", "0-31:1/2", True),
        ("0-31:1/2", "0-31", False),
        ("x", "y", False),
    ],
)
def test_cpu_lists_are_the_same_when_they_have_the_same_cpus(one: str | None, other: str | None, same: bool) -> None:
    assert CpuList().same(one, other) is same


@given(st.sets(st.integers(0, 200), min_size=1))
def test_a_mask_and_a_list_in_other_words_are_the_same(cpus: set[int]) -> None:
    bits = sum(1 << cpu for cpu in cpus)
    words = [f"{bits >> shift & 0xFFFFFFFF:08x}" for shift in range(0, 224, 32)][::-1]
    assert Mask().same(",".join(words), ",".join(words).lstrip("0,"))
    assert CpuList().same(",".join(map(str, sorted(cpus))), ",".join(map(str, sorted(cpus, reverse=True))))


@pytest.fixture
def writeback(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that behave as those of mm/page-writeback.c: one that changes clears the other. Returns what is written."""
    writes: list[str] = []
    write = Text.write

    def by_the_kernel(self: Text, target: str, value: str | None) -> None:
        name, _, which = target.rpartition("_")
        if (which, value) == ("bytes", "0"):
            raise OSError(errno.EINVAL, "Invalid argument")
        if Text.read(self, target) != value:
            write(self, f"{name}_{'ratio' if which == 'bytes' else 'bytes'}", "0")
        write(self, target, value)
        writes.append(f"{which} {value}")

    monkeypatch.setattr(Text, "write", by_the_kernel)
    return writes


def pair(root: Path, *, amount: str, ratio: str) -> str:
    return str(materialize(root, {"vm/dirty_bytes": f"{amount}\n", "vm/dirty_ratio": f"{ratio}\n"}) / "vm/dirty")


@pytest.mark.parametrize(
    ("amount", "ratio", "value"), [("0", "20", "ratio 20"), ("1048576", "0", "bytes 1048576"), ("0", "0", "ratio 0")]
)
def test_a_pair_reads_as_the_one_that_is_in_force(tmp_path: Path, amount: str, ratio: str, value: str) -> None:
    assert Pair().read(pair(tmp_path, amount=amount, ratio=ratio)) == value


@pytest.mark.parametrize(
    ("amount", "ratio", "writes"),
    [
        ("0", "20", ["bytes 268435456", "ratio 20"]),
        ("1048576", "0", ["bytes 268435456", "bytes 1048576"]),
        # What is 0 already does not change, and so would not clear the bytes.
        ("0", "0", ["bytes 268435456", "ratio 1", "ratio 0"]),
    ],
)
def test_a_pair_is_put_back_without_a_zero_for_bytes(
    tmp_path: Path, writeback: list[str], amount: str, ratio: str, writes: list[str]
) -> None:
    target, kind = pair(tmp_path, amount=amount, ratio=ratio), Pair()
    log = UndoLog(tmp_path / "undo.log")
    log.append([Change("dirty", "pair", target, kind.read(target), "bytes 268435456")])
    kind.write(target, "bytes 268435456")
    assert not undo(log, {"pair": kind}).failed
    assert (Path(f"{target}_bytes").read_text(), Path(f"{target}_ratio").read_text()) == (f"{amount}\n", f"{ratio}\n")
    assert writeback == writes


def test_a_pair_that_was_left_on_its_way_back_to_zero_is_put_back(tmp_path: Path, writeback: list[str]) -> None:
    target, kind = pair(tmp_path, amount="0", ratio="1"), Pair()
    log = UndoLog(tmp_path / "undo.log")
    log.append([Change("dirty", "pair", target, "ratio 0", "bytes 268435456")])
    assert undo(log, {"pair": kind}).restored
    assert (kind.read(target), writeback) == ("ratio 0", ["ratio 1", "ratio 0"])


def test_a_pair_of_which_one_is_missing_cannot_be_read(tmp_path: Path) -> None:
    target = pair(tmp_path, amount="0", ratio="20")
    Path(f"{target}_ratio").unlink()
    with pytest.raises(FileNotFoundError):
        Pair().read(target)


def test_a_directory_is_there_or_not(tmp_path: Path) -> None:
    target, kind = str(tmp_path / "mlos"), Directory()
    assert kind.read(target) is None
    kind.write(target, "")
    assert (kind.read(target), Path(target).is_dir()) == ("", True)
    kind.write(target, None)
    kind.write(target, None)  # gone already
    assert kind.read(target) is None


def test_a_file_is_no_directory_and_a_directory_that_is_in_use_stays(tmp_path: Path) -> None:
    materialize(tmp_path, {"file": "", "group/tasks": "1\n"})
    assert Directory().read(str(tmp_path / "file")) is None
    with pytest.raises(OSError, match="not empty"):
        Directory().write(str(tmp_path / "group"), None)


@pytest.mark.parametrize(
    ("kind", "now", "value"),
    [
        (Text(), "performance\n", "powersave"),
        (Text(), "1\n", ""),
        (Text(), "1\n", "it's 4096\t87380 $HOME `date` *"),
        (Choice(), "[always] madvise never\n", "madvise"),
        (Mask(), "f\n", "ff,ffffffff"),
        (CpuList(), "0\n", "0-3,8"),
    ],
)
def test_the_command_for_a_file_does_what_write_does(tmp_path: Path, kind: Kind, now: str, value: str) -> None:
    target = file(tmp_path / "with a space", now)
    subprocess.run(["sh", "-c", kind.command(target, value)], check=True)
    assert kind.read(target) == value


@pytest.mark.parametrize("value", ["ratio 20", "bytes 1048576", "ratio 0"])
def test_the_command_for_a_pair_writes_the_one_in_force(tmp_path: Path, value: str) -> None:
    target = pair(tmp_path, amount="7", ratio="7")
    subprocess.run(["sh", "-c", Pair().command(target, value)], check=True)
    which, _, number = value.partition(" ")
    assert Path(f"{target}_{which}").read_text() == f"{number}\n"


@pytest.mark.parametrize("value", [None, ""])
def test_the_command_for_a_directory_makes_or_removes_it(tmp_path: Path, value: str | None) -> None:
    kind, target = Directory(), str(tmp_path / "it's mine")
    kind.write(target, "" if value is None else None)
    subprocess.run(["sh", "-c", kind.command(target, value)], check=True)
    assert kind.read(target) == value
