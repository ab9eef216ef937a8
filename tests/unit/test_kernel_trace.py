"""Traces of jobs: every record comes back as it was written, and nothing that is damaged is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mlosd.kernel.trace import (
    Again,
    Begin,
    Closed,
    Covered,
    End,
    Exited,
    File,
    Partial,
    Process,
    Record,
    Renamed,
    TraceDamaged,
    line,
    parse,
)

FSID = "0123456789abcdef"
A_FILE = File(
    number=0,
    at=17,
    pid=42,
    modes="rw",
    filesystem=FSID,
    handle_type=1,
    handle=b"\x01\xff",
    parent_type=129,
    parent=b"\x02",
    inode=9,
    size=3,
    mtime_ns=-5,
    ctime_ns=6,
    btime_ns=0,
    path=b"/home/a b/model\n\xff.pt",
)

numbers = some.integers(0, 2**63 - 1)
signed = some.integers(-(2**63), 2**63 - 1)
pids = some.integers(0, 2**22)
modes = some.sampled_from(["r", "w", "x", "rw", "rx", "wx", "rwx"])
fsids = some.integers(0, 2**64 - 1).map("{:016x}".format)
handles = some.binary(max_size=128)
paths = some.binary(max_size=40).filter(lambda name: b"\0" not in name).map(lambda name: b"/" + name)
records = some.one_of(
    some.builds(Begin, numbers, numbers),
    some.builds(Covered, fsids, some.sampled_from(["ext4", "fuse.a b"]), paths),
    some.builds(
        File,
        number=numbers,
        at=numbers,
        pid=pids,
        modes=modes,
        filesystem=fsids,
        handle_type=pids,
        handle=handles,
        parent_type=pids,
        parent=handles,
        inode=numbers,
        size=signed,
        mtime_ns=signed,
        ctime_ns=signed,
        btime_ns=signed,
        path=some.none() | paths,
    ),
    some.builds(Again, numbers, numbers, modes),
    some.builds(Closed, numbers, numbers, pids, signed, signed, signed),
    some.builds(Renamed, numbers, numbers, pids, paths),
    some.builds(Process, numbers, pids, pids, some.none() | paths),
    some.builds(Exited, numbers, pids, pids),
    some.builds(Partial, some.text(max_size=40).filter(lambda text: text.isprintable())),
    some.builds(End, numbers),
)


@given(some.lists(records, max_size=8))
def test_what_was_written_is_read_back(written: list[Record]) -> None:
    text = b"".join(map(line, written))
    assert parse(text) == (written, len(text))
    assert text.count(b"\n") == len(written)


@given(some.lists(records, min_size=1, max_size=4), some.data())
def test_half_a_line_waits_for_its_other_half(written: list[Record], data: some.DataObject) -> None:
    text = b"".join(map(line, written))
    cut = data.draw(some.integers(0, len(text)))
    first, consumed = parse(text[:cut])
    second, _ = parse(text[consumed:])
    assert first + second == written


@given(some.binary(max_size=60))
def test_nonsense_raises_nothing_but_trace_damaged(nonsense: bytes) -> None:
    try:
        parse(nonsense)
    except TraceDamaged as e:
        assert e.records == []


def test_a_file_looks_like_this_on_its_line() -> None:
    assert line(A_FILE) == (
        b"file 0 17 42 rw 0123456789abcdef 1.01ff 129.02 9 3 -5 6 0 /home/a\\040b/model\\012\xff.pt\n"
    )


def test_a_file_that_was_gone_has_no_path_and_no_size() -> None:
    [gone], _ = parse(b"file 3 17 42 r 0123456789abcdef 1.01 0. 0 -1 0 0 0 -\n")
    assert isinstance(gone, File)
    assert (gone.path, gone.size, gone.parent) == (None, -1, b"")


def test_an_empty_trace_has_no_records() -> None:
    assert parse(b"") == ([], 0)


def test_a_partial_trace_says_why_in_words() -> None:
    [partial], _ = parse(b"partial not covered: nfs4 at /my\\040data\n")
    assert partial == Partial("not covered: nfs4 at /my data")


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"nonsense 1",
        b"end",
        b"end -1",
        b"end 1 2",
        b"end 1_0",
        b"begin 1",
        b"again 1 2 wr",
        b"again 1 2 ",
        b"again 1 2 q",
        b"process 1 2 3 relative",
        b"covered 0123 ext4 /",
        b"covered 0123456789ABCDEF ext4 /",
        b"covered 0123456789abcdef \xff /",
        b"file 0 17 42 r 0123456789abcdef 1 129.02 9 3 5 6 0 /x",
        b"file 0 17 42 r 0123456789abcdef 1.0g 129.02 9 3 5 6 0 /x",
        b"file 0 17 42 r 0123456789abcdef 1.012 129.02 9 3 5 6 0 /x",
        b"file 0 17 42 r 0123456789abcdef 1.01 129.02 9 3 5 6 0 /x y",
        b"\0\0\0\0",
    ],
)
def test_a_damaged_line_is_told_with_all_that_came_before(damaged: bytes) -> None:
    text = line(A_FILE)
    with pytest.raises(TraceDamaged) as caught:
        parse(text + damaged + b"\n" + line(End(1)))
    assert caught.value.records == [A_FILE]
    assert caught.value.consumed == len(text)
