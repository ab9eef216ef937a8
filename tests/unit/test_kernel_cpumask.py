"""CPU masks: as the kernel prints them, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.kernel import cpumask


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0\n", ()),
        ("f\n", (0, 1, 2, 3)),
        ("00000000,00000003\n", (0, 1)),
        ("1,00000000\n", (32,)),
        ("80000000,00000000,00000001", (0, 95)),
        ("FF", tuple(range(8))),
    ],
)
def test_a_mask_is_read(text: str, cpus: tuple[int, ...]) -> None:
    assert cpumask.parse(text) == cpus


@pytest.mark.parametrize("text", ["", "\n", "0-3", "0x3", "f,", ",f", "123456789", "g", "-1", "f f"])
def test_what_is_no_mask_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CPU mask"):
        cpumask.parse(text)


def test_there_is_a_comma_before_each_32_bits() -> None:
    assert cpumask.format([0, 31, 32, 64]) == "1,00000001,80000001"
    assert cpumask.format([64]) == "1,00000000,00000000"
    assert cpumask.format([]) == "0"


@given(st.sets(st.integers(0, 300)))
def test_what_is_written_reads_back(cpus: set[int]) -> None:
    assert set(cpumask.parse(cpumask.format(cpus))) == cpus
