"""The journal's native protocol, against a socket that the test listens on."""

import array
import io
import json
import mmap
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlosd.core.events import Failed, JobChanged
from mlosd.kernel.journald import Journal, JsonLines, open_log, serialize

STARTED = JobChanged(job="7", state="RUNNING", reason="there was room", user="alice")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.settimeout(5)
        yield listening


def _parse(data: bytes) -> dict[str, str]:
    """Read fields back as journald does."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        data = rest
    return fields


def test_an_event_arrives_with_its_fields(journal: socket.socket) -> None:
    log = open_log(Path(journal.getsockname()))
    log(STARTED)
    fields = _parse(journal.recv(65536))
    assert fields["MESSAGE"] == "job 7 is RUNNING (there was room)"
    assert fields["MESSAGE_ID"] == JobChanged.MESSAGE_ID
    assert fields["PRIORITY"] == "6"
    assert fields["SYSLOG_IDENTIFIER"] == "mlosd"
    assert fields["MLOSD_JOB"] == "7"
    assert fields["MLOSD_EVENT"] == "JobChanged"
    log.close()


def test_a_value_of_several_lines_cannot_forge_a_field(journal: socket.socket) -> None:
    log = Journal(Path(journal.getsockname()))
    log(Failed(detail="scan", reason="first\nPRIORITY=0\nlast"))
    fields = _parse(journal.recv(65536))
    assert fields["MLOSD_REASON"] == "first\nPRIORITY=0\nlast"
    assert fields["PRIORITY"] == "3"
    log.close()


def test_an_event_larger_than_a_datagram_comes_as_a_sealed_memory_file(journal: socket.socket) -> None:
    log = Journal(Path(journal.getsockname()))
    reason = "x" * 4_000_000
    log(Failed(detail="scan", reason=reason))
    _, ancillary, _, _ = journal.recvmsg(16, socket.CMSG_SPACE(4))
    fd = array.array("i", ancillary[0][2])[0]
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as content:
        assert _parse(content[:])["MLOSD_REASON"] == reason
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)
    assert log.dropped == 0
    log.close()


def test_a_journal_that_went_away_does_not_stop_the_daemon(journal: socket.socket, tmp_path: Path) -> None:
    log = Journal(Path(journal.getsockname()))
    (tmp_path / "journal").unlink()
    log(STARTED)
    assert log.dropped == 1
    log.close()


def test_without_a_journal_an_event_is_a_line_of_json(tmp_path: Path) -> None:
    assert isinstance(open_log(tmp_path / "nobody"), JsonLines)
    stream = io.StringIO()
    JsonLines(stream, clock=lambda: 12.5)(Failed(detail="scan", reason="a\nb"))
    assert stream.getvalue().count("\n") == 1
    line = json.loads(stream.getvalue())
    assert (line["at"], line["MESSAGE"], line["MLOSD_REASON"]) == (12.5, "scan: a\nb", "a\nb")


def test_a_closed_stderr_does_not_stop_the_daemon() -> None:
    stream = io.StringIO()
    stream.close()
    log = JsonLines(stream)
    log(STARTED)
    assert log.dropped == 1


@pytest.mark.parametrize("name", ["message", "_PID", "", "A=B", "A" * 65, "MIT LEER"])
def test_a_field_name_that_the_journal_would_drop_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a journal field"):
        serialize({name: "x"})
