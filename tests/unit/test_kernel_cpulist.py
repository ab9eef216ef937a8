"""CPU lists: what the kernel prints is read, and what we print means the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.kernel import cpulist


@given(st.sets(st.integers(min_value=0, max_value=2047), max_size=300))
def test_a_list_that_is_printed_and_read_again_is_the_same(cpus: set[int]) -> None:
    assert cpulist.parse(cpulist.format(cpus)) == tuple(sorted(cpus))


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-3,8,10-11\n", (0, 1, 2, 3, 8, 10, 11)),
        ("5", (5,)),
        ("\n", ()),
        ("3,1,1-2", (1, 2, 3)),
    ],
)
def test_the_kernels_lists_are_read(text: str, cpus: tuple[int, ...]) -> None:
    assert cpulist.parse(text) == cpus


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "1,,2", "0x3", "1 2", "²"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CPU list"):
        cpulist.parse(text)


def test_neighbours_become_a_range() -> None:
    assert cpulist.format([11, 10, 8, 0, 1, 2, 3]) == "0-3,8,10-11"
