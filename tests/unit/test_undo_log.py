"""The undo log: what is pending after it was cut, damaged, locked, full, or is of another boot."""

import contextlib
import errno
import fcntl
import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.fuzzing import rounds

from mlosd.undo.change import FIRST, LAST, Change, Malformed, Pending, decode, encode, of_record
from mlosd.undo.log import Busy, OtherFormat, UndoLog

BOOT = "d2f6a3b0-0d9c-4f0e-9d0a-6c1f3a8f2b11"
GOVERNOR = Change("scaling-governor", "text", "/sys/policy0/scaling_governor", "powersave", "performance")
THP = Change("thp", "choice", "/sys/kernel/mm/transparent_hugepage/enabled", "madvise", "always", LAST)

# A log's life: batches of changes, and batches of keys that are settled.
Act = tuple[Change, ...] | frozenset[tuple[str, str]]
TARGETS = ["a", "b/c", "d e", "\N{SNOWMAN}\n\r"]
VALUES = st.none() | st.text(max_size=6)
CHANGES = st.builds(
    Change, st.just("knob"), st.just("text"), st.sampled_from(TARGETS), VALUES, VALUES, st.sampled_from([FIRST, LAST])
)
SETTLED = st.frozensets(st.tuples(st.just("text"), st.sampled_from(TARGETS)), min_size=1, max_size=3)
BATCHES = st.lists(CHANGES, min_size=1, max_size=3).map(tuple)
LIVES = st.tuples(BATCHES, st.lists(BATCHES | SETTLED, max_size=5)).map(lambda life: [life[0], *life[1]])


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """hypothesis calls a test many times; pytest's tmp_path would be the same one each time."""
    with tempfile.TemporaryDirectory(prefix="mlosd-undo-") as made:
        yield Path(made)


def opened(path: Path, boot: str = BOOT) -> UndoLog:
    return UndoLog(path, boot=boot)


def written(path: Path, *acts: Act) -> bytes:
    """Live this life; the file that is left of it."""
    log = opened(path)
    for act in acts:
        if isinstance(act, tuple):
            log.append(act)
        else:
            log.settle(act)
    log.close()
    return path.read_bytes()


def pending(path: Path, boot: str = BOOT) -> list[Pending]:
    log = opened(path, boot)
    try:
        return log.pending()
    finally:
        log.close()


def values(found: Sequence[Pending]) -> dict[str, tuple[str | None, tuple[str | None, ...]]]:
    """target -> what was there first, and what we wrote."""
    return {one.target: (one.before, one.written) for one in found}


def model(lines: Sequence[bytes]) -> dict[str, tuple[str | None, tuple[str | None, ...]]]:
    """What is pending after these whole lines, said in the plainest way."""
    found: dict[str, tuple[str | None, tuple[str | None, ...]]] = {}
    for line in lines[1:]:
        record = decode(line, BOOT)
        if "settled" in record:
            for _, target in record["settled"]:
                found.pop(target, None)
            continue
        change = of_record(record)
        before, earlier = found.get(change.target, (change.before, ()))
        found[change.target] = (before, (*(value for value in earlier if value != change.after), change.after))
    return found


def test_what_was_appended_is_pending_after_a_crash(tmp_path: Path) -> None:
    written(tmp_path / "undo.log", (GOVERNOR, THP))
    found = pending(tmp_path / "undo.log")
    assert [(one.knob, one.kind, one.target, one.before, one.after, one.rank) for one in found] == [
        (change.knob, change.kind, change.target, change.before, change.after, change.rank)
        for change in (GOVERNOR, THP)
    ]


def test_what_is_settled_is_not_pending_after_a_crash(tmp_path: Path) -> None:
    written(tmp_path / "undo.log", (GOVERNOR, THP), frozenset({GOVERNOR.key}))
    assert [one.key for one in pending(tmp_path / "undo.log")] == [THP.key]


def test_the_first_value_is_remembered_and_each_that_we_wrote(tmp_path: Path) -> None:
    again = Change(GOVERNOR.knob, GOVERNOR.kind, GOVERNOR.target, "performance", "schedutil")
    written(tmp_path / "undo.log", (GOVERNOR,), (again, GOVERNOR))
    [found] = pending(tmp_path / "undo.log")
    assert (found.before, found.written) == ("powersave", ("schedutil", "performance"))


def test_every_line_says_by_itself_what_was_there_first(tmp_path: Path) -> None:
    """So the loss of the first line of a target does not make a value of ours its original."""
    path = tmp_path / "undo.log"
    again = Change(GOVERNOR.knob, GOVERNOR.kind, GOVERNOR.target, "performance", "schedutil")
    lines = written(path, (GOVERNOR,), (again,)).splitlines(keepends=True)
    path.write_bytes(lines[0] + b"?" + lines[1][1:] + lines[2])
    assert values(pending(path)) == {GOVERNOR.target: ("powersave", ("schedutil",))}


def test_a_value_from_before_a_settled_line_that_was_damaged_is_not_taken_for_the_original(tmp_path: Path) -> None:
    path = tmp_path / "undo.log"
    later = Change(GOVERNOR.knob, GOVERNOR.kind, GOVERNOR.target, "ondemand", "performance")
    lines = written(path, (GOVERNOR,), frozenset({GOVERNOR.key}), (later,)).splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + b"?" + lines[2][1:] + lines[3])
    assert values(pending(path)) == {GOVERNOR.target: ("ondemand", ("performance",))}


@settings(max_examples=rounds(20), deadline=None)
@given(LIVES)
def test_a_log_that_was_cut_at_any_byte_speaks_of_its_whole_lines_only(life: list[Act]) -> None:
    with folder() as root:
        whole = written(root / "whole", *life)
        for length in range(len(whole) + 1):
            cut = root / "cut"
            cut.write_bytes(whole[:length])
            log = opened(cut)
            lines = whole[:length].splitlines(keepends=True)
            if lines and not lines[-1].endswith(b"\n"):
                lines.pop()
            assert values(log.pending()) == model(lines)
            assert log.damaged == 0
            log.close()


@settings(max_examples=rounds(50), deadline=None)
@given(LIVES, st.data(), st.lists(CHANGES, min_size=1, max_size=3))
def test_a_log_that_was_cut_takes_new_changes(life: list[Act], data: st.DataObject, more: list[Change]) -> None:
    with folder() as root:
        path = root / "undo.log"
        whole = written(path, *life)
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole)), label="cut at")])
        log = opened(path)
        log.append(more)
        expected = log.pending()
        log.close()
        assert values(pending(path)) == values(expected)
        assert {change.key for change in more} <= {one.key for one in expected}


@settings(max_examples=rounds(20), deadline=None)
@given(LIVES, st.integers(1, 255))
def test_a_flipped_byte_never_makes_up_a_value(life: list[Act], bits: int) -> None:
    with folder() as root:
        path = root / "undo.log"
        whole = written(path, *life)
        records = [decode(line, BOOT) for line in whole.splitlines(keepends=True)[1:]]
        said = {(one.target, one.before) for one in (of_record(record) for record in records if "change" in record)}
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :])
            log = opened(path)
            assert {(one.target, one.before) for one in log.pending()} <= said
            last_line_lost_its_end = at == len(whole) - 1
            assert log.damaged > 0 or last_line_lost_its_end
            log.close()


def test_a_damaged_line_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "undo.log"
    lines = written(path, (GOVERNOR, THP)).splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"powersave", b"powersafe") + lines[2])
    log = opened(path)
    assert ([one.key for one in log.pending()], log.damaged) == ([THP.key], 1)
    log.close()


def test_a_damaged_header_loses_no_change(tmp_path: Path) -> None:
    path = tmp_path / "undo.log"
    whole = written(path, (GOVERNOR, THP))
    path.write_bytes(b"?" + whole[1:])
    log = opened(path)
    assert ([one.key for one in log.pending()], log.damaged) == ([GOVERNOR.key, THP.key], 1)
    log.close()


@pytest.mark.parametrize("is_header_damaged", [False, True])
def test_a_log_of_another_boot_has_nothing_to_undo(tmp_path: Path, is_header_damaged: bool) -> None:
    path = tmp_path / "undo.log"
    whole = written(path, (GOVERNOR,))
    path.write_bytes(b"?" + whole[1:] if is_header_damaged else whole)
    assert pending(path, boot="another") == []


def test_a_log_of_another_boot_is_emptied_and_used(tmp_path: Path) -> None:
    path = tmp_path / "undo.log"
    written(path, (GOVERNOR,))
    log = opened(path, boot="another")
    assert path.read_bytes() == b""
    log.append([THP])
    log.close()
    assert [one.key for one in pending(path, boot="another")] == [THP.key]


def test_the_boot_is_the_kernels_unless_a_test_says_otherwise(tmp_path: Path) -> None:
    log = UndoLog(tmp_path / "undo.log")
    log.append([GOVERNOR])
    log.close()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    assert [one.key for one in pending(tmp_path / "undo.log", boot)] == [GOVERNOR.key]


def test_a_log_of_another_format_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "undo.log"
    lines = written(path, (GOVERNOR,)).splitlines(keepends=True)
    newer = encode({"boot": BOOT, "format": 2, "more": "of it"}) + b"".join(lines[1:])
    path.write_bytes(newer)
    with pytest.raises(OtherFormat, match=r"undo\.log is of another mlosd: format 2, not 1"):
        opened(path)
    assert path.read_bytes() == newer
    with pytest.raises(OtherFormat):  # and not Busy: the lock was let go of
        opened(path)


@pytest.mark.parametrize(
    "body",
    [b"[]", b"1", b"{", b"\xff"],
)
def test_a_line_that_is_whole_and_is_no_record_is_malformed(body: bytes) -> None:
    line = encode({"x": 1})
    assert decode(line) == {"x": 1}
    with pytest.raises(Malformed):
        decode(b"%08x %s\n" % (zlib.crc32(body), body))


def test_a_record_with_fields_that_we_do_not_know_is_malformed() -> None:
    with pytest.raises(Malformed):
        of_record({"change": {"knob": "x", "colour": "red"}})
    with pytest.raises(Malformed):
        of_record({"chance": {}})


def test_a_second_opener_is_told_that_the_log_is_busy(tmp_path: Path) -> None:
    log = opened(tmp_path / "undo.log")
    log.append([GOVERNOR])
    with pytest.raises(Busy, match=r"undo\.log"):
        opened(tmp_path / "undo.log")
    log.close()
    assert [one.key for one in pending(tmp_path / "undo.log")] == [GOVERNOR.key]


def test_a_log_that_was_removed_while_we_waited_for_its_lock_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "undo.log"
    first = opened(path)
    first.append([GOVERNOR])
    lock = fcntl.flock

    def after_the_other_let_go(fd: int, how: int) -> None:
        first.settle([GOVERNOR.key])
        first.clear()
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", after_the_other_let_go)
    second = opened(path)
    second.append([THP])
    monkeypatch.undo()
    second.close()
    assert [one.key for one in pending(path)] == [THP.key]


def test_a_symlink_at_its_path_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"text\n")
    (tmp_path / "undo.log").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        opened(tmp_path / "undo.log")
    assert precious.read_bytes() == b"text\n"
    precious.unlink()
    log = opened(tmp_path / "undo.log")  # it dangles: nothing is there to be read
    with pytest.raises(OSError, match="symbolic links"):
        log.append([GOVERNOR])
    assert not precious.exists()


def test_nothing_is_made_until_something_is_written_and_then_only_for_us(tmp_path: Path) -> None:
    path = tmp_path / "mode" / "undo.log"
    log = opened(path)
    assert not path.parent.exists()
    log.append([])
    assert not path.parent.exists()
    log.append([GOVERNOR])
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    log.close()


def test_a_log_is_removed_when_nothing_is_pending_and_only_then(tmp_path: Path) -> None:
    path = tmp_path / "undo.log"
    log = opened(path)
    log.append([GOVERNOR])
    log.clear()
    assert path.exists()
    log.settle([GOVERNOR.key, ("text", "/never/heard/of")])
    log.clear()
    assert not path.exists()
    log.append([THP])
    log.close()
    assert [one.key for one in pending(path)] == [THP.key]


def full_after(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A disk with so many bytes left."""
    left = size
    write = os.write

    def limited(fd: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(fd, bytes(data)[:left])
        left -= done
        return done

    monkeypatch.setattr(os, "write", limited)


@pytest.mark.parametrize("left", [0, 1, 100, 250])
@pytest.mark.parametrize("earlier", [(), (GOVERNOR,)])
def test_a_full_disk_leaves_the_log_as_before_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, earlier: tuple[Change, ...]
) -> None:
    path = tmp_path / "undo.log"
    log = opened(path)
    if earlier:
        log.append(earlier)
    before = path.read_bytes() if earlier else b""
    full_after(monkeypatch, left)
    with pytest.raises(OSError, match="No space left"):
        log.append([THP, Change("rps", "mask", "/sys/rps_cpus", "0", "f"), Change("x", "text", "/x" * 50, "0", "f")])
    assert [one.key for one in log.pending()] == [change.key for change in earlier]
    assert path.read_bytes() == before
    monkeypatch.undo()
    log.append([THP])
    log.close()
    assert [one.key for one in pending(path)] == [*(change.key for change in earlier), THP.key]


def test_an_fsync_that_fails_leaves_the_log_as_before_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "undo.log"
    log = opened(path)
    log.append([GOVERNOR])

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        log.append([THP])
    monkeypatch.undo()
    log.close()
    assert [one.key for one in pending(path)] == [GOVERNOR.key]


def test_a_full_disk_does_not_keep_anything_from_being_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "undo.log"
    log = opened(path)
    log.append([GOVERNOR])
    full_after(monkeypatch, 0)
    log.settle([GOVERNOR.key])
    assert log.pending() == []
    log.clear()
    assert not path.exists()


def test_changes_are_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch: everything is written, then one fsync, and nothing after it."""
    done: list[str] = []
    write, fsync = os.write, os.fsync

    def noted_write(fd: int, data: bytes) -> int:
        done.append("write")
        return write(fd, data)

    def noted_fsync(fd: int) -> None:
        done.append("fsync")
        fsync(fd)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    log = opened(tmp_path / "undo.log")
    log.append([GOVERNOR, THP])
    assert done == ["fsync", "write", "fsync"]  # the first is the directory's
    log.close()
