"""POSIX ACLs: the bytes of the extended attribute, as the kernel and setfacl(1) write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.kernel.posix_acl import Entry, Tag, decode, encode

# setfacl -m u:1000:r on a file of mode 0640.
GOLDEN = bytes.fromhex("02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000000ffffffff")
ENTRIES = (
    Entry(Tag.USER_OBJ, 6),
    Entry(Tag.USER, 4, 1000),
    Entry(Tag.GROUP_OBJ, 4),
    Entry(Tag.MASK, 4),
    Entry(Tag.OTHER, 0),
)


def test_a_list_is_written_as_the_kernel_stores_it() -> None:
    assert encode(ENTRIES) == GOLDEN


def test_entries_in_any_order_are_written_in_the_kernels_order() -> None:
    assert encode(reversed(ENTRIES)) == GOLDEN


def test_the_kernels_bytes_are_read() -> None:
    assert decode(GOLDEN) == ENTRIES


@given(st.sets(st.builds(Entry, st.sampled_from([Tag.USER, Tag.GROUP]), st.integers(0, 7), st.integers(0, 2**32 - 2))))
def test_a_list_that_is_written_and_read_again_is_the_same(entries: set[Entry]) -> None:
    assert set(decode(encode(entries))) == entries


@pytest.mark.parametrize(
    "value", [b"", b"\x02\x00", GOLDEN[:-1], b"\x01" + GOLDEN[1:], GOLDEN[:4] + b"\x03" + GOLDEN[5:]]
)
def test_bytes_that_are_no_list_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="POSIX ACL"):
        decode(value)
