"""The output of a job: its last lines, and everything up to now."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.jobs import logs
from mlosd.jobs.logs import Logs


def tail(directory: Path, text: bytes, count: int) -> bytes:
    """The last lines of an output."""
    (directory / "1.log").write_bytes(text)
    reader = Logs(directory).read(1, tail=count)
    assert reader is not None
    try:
        return b"".join(reader.rest())
    finally:
        reader.close()


def test_the_last_lines_are_those_that_tail_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "CHUNK", 7)

    @given(st.lists(st.sampled_from([b"\n", b"a", b"bcd\n", b"ef"]), max_size=30), st.integers(0, 12))
    def check(parts: list[bytes], count: int) -> None:
        text = b"".join(parts)
        lines = text.splitlines(keepends=True)
        assert tail(tmp_path, text, count) == b"".join(lines[len(lines) - min(count, len(lines)) :])

    check()


def test_the_last_lines_are_not_looked_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "TAIL_REACHES", 10)
    assert tail(tmp_path, b"first\n" + b"x" * 20, 2) == b"x" * 10


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "1.log").symlink_to(tmp_path / "secret")
    outputs = Logs(tmp_path)
    with pytest.raises(OSError, match="symbolic links"):
        outputs.read(1)
    with pytest.raises(OSError, match="symbolic links"):
        outputs.open(1)
    with pytest.raises(OSError, match="symbolic links"):
        outputs.create([1])
