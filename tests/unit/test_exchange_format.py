"""The page about the format says what the format is."""

import re
from pathlib import Path

from mlosd.core import data
from mlosd.exchange import records
from mlosd.wire import idl, types

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export-format.md"


def test_the_page_has_every_kind_with_all_of_its_fields() -> None:
    told = {}
    for line in PAGE.read_text("utf-8").splitlines():
        if found := re.match(r"\| `(\w+)` \| (`.*`) \|", line):
            told[found[1]] = re.findall(r"`(\w+)`", found[2].split(" | ")[0])
    interface = idl.read(data.path("interfaces/io.mlosd.Records.idl"))
    described = {}
    for kind, name in ({k.name: k.type for k in records.KINDS.values()} | records.BEYOND_TABLES).items():
        struct = interface.types[name].type
        assert isinstance(struct, types.Struct)
        described[kind] = [field.name for field in struct.fields]
    assert told == described


def test_the_page_is_of_this_version() -> None:
    assert f"`version` of the header is {records.VERSION}." in PAGE.read_text("utf-8")
