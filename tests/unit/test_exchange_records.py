"""Records: what the interface says they are, any bytes as names, and files that nobody can change any more."""

import os
from pathlib import Path

import pytest
from tests.fakes.exchange import records, run, sealed

from mlosd.core.errors import BadRequest
from mlosd.exchange import records as kinds
from mlosd.exchange.sealed import Sealed
from mlosd.wire import idl, types


def test_the_columns_of_every_kind_are_the_fields_that_the_interface_says() -> None:
    from mlosd.core import data

    interface = idl.read(data.path("interfaces/io.mlosd.Records.idl"))
    for kind in kinds.KINDS.values():
        described = interface.types[kind.type].type
        assert isinstance(described, types.Struct)
        assert tuple(kind.columns) == tuple(field.name for field in described.fields), kind.name


def test_the_columns_of_every_kind_are_in_the_schema() -> None:
    from mlosd.store.schema import MIGRATIONS

    schema = "".join(migration.sql() for migration in MIGRATIONS)
    for kind in kinds.KINDS.values():
        assert f"CREATE TABLE {kind.table} (" in schema
        assert all(f" {column} " in schema for column in kind.columns)


@pytest.mark.parametrize("name", [b"plain", "caf\u00e9".encode(), b"caf\xe9", b"new\nline", b"\\u0041"])
def test_any_name_that_linux_allows_goes_out_and_comes_in_again(name: bytes) -> None:
    assert kinds.name(kinds.named(name)) == name
    assert kinds.name(os.fsdecode(name)) == name


@pytest.mark.parametrize("name", [7, {"hex": "zz"}, {"hex": 1}, {}, "a\0b", {"hex": "00"}, None])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(ValueError):
        kinds.name(name)


@pytest.mark.parametrize("moment", [-1.0, 1e300])
def test_a_time_that_nobody_can_show_is_refused(moment: float) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        kinds.decode(kinds.KINDS["run"], "submitted_at", moment)


def test_records_are_read_with_their_lines() -> None:
    with Sealed(sealed(records(run(1), run(2)))) as found:
        assert found.header()["source"] == "mlosd"
        assert [(line, record["id"]) for line, record in found] == [(2, 1), (3, 2)]
        assert len(list(found)) == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (records(run(1))[:-1], "the file was cut"),
        ([*records(run(1)), run(2)], "something after the end"),
        ([records()[0], {"kind": "end", "records": 7}], "the file was cut"),
        (records(run(1, state="RUNNING")), "line 2: state"),
        (records(run(1, colour="red")), "line 2: colour: unknown field"),
        (records(run(1, ended_at=None)), "line 2: ended_at"),
        ([records()[0], b'{"kind": "run", "id": NaN}'], "line 2: the message is not JSON"),
        ([records()[0], b'{"kind": "run"'], "line 2: the message is not JSON"),
        ([records()[0], b'{"kind": ["run"]}'], "line 2: a record has a kind"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_whole_or_not_sound_is_refused_with_its_line(lines: list[object], words: str) -> None:
    with pytest.raises(BadRequest, match=words), Sealed(sealed(lines)) as found:  # type: ignore[arg-type]
        list(found)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (records(version=2), "version 2, this mlosd knows 1"),
        ([b"PK\x03\x04"], "not an export of mlosd"),
        ([{"kind": "run"}], "line 1"),
        ([{"kind": "end", "records": 0}], "not an export of mlosd"),
    ],
)
def test_what_mlosd_did_not_write_or_a_newer_one_is_refused(lines: list[object], words: str) -> None:
    with pytest.raises(BadRequest, match=words), Sealed(sealed(lines)) as found:  # type: ignore[arg-type]
        found.header()


def test_a_memfd_that_can_still_be_changed_is_refused() -> None:
    with pytest.raises(BadRequest, match="is not sealed"), Sealed(sealed(records(), seals=0)):
        pass


def test_a_file_or_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    reading, writing = os.pipe()
    os.close(writing)
    for fd in (os.open(tmp_path / "file", os.O_RDONLY), reading):
        with pytest.raises(BadRequest, match=r"not in a memfd|is not sealed"), Sealed(fd):
            pass
