"""CPU lists as the kernel prints them, "0-3,8,10-11" (core-api/printk-formats, %*pbl)."""

import re
from collections.abc import Iterable
from itertools import pairwise

LARGEST = (1 << 16) - 1
"""No kernel has as many CPUs (NR_CPUS), and no range may fill the memory."""
_RANGE = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)


def parse(text: str) -> tuple[int, ...]:
    """The CPUs in `text`, ascending. An empty list is empty; anything that is no CPU list raises ValueError."""
    stripped = text.strip()
    if not stripped:
        return ()
    cpus: set[int] = set()
    for part in stripped.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"not a CPU list: {text!r}")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise ValueError(f"a range that runs backwards in the CPU list {text!r}")
        if last > LARGEST:
            raise ValueError(f"no machine has a CPU {last}")
        cpus.update(range(first, last + 1))
    return tuple(sorted(cpus))


def format(cpus: Iterable[int]) -> str:  # noqa: A001 - read as cpulist.format
    """The shortest list that means `cpus`, as the kernel would print it."""
    ordered = sorted(set(cpus))
    if not ordered:
        return ""
    starts = [ordered[0], *(b for a, b in pairwise(ordered) if b != a + 1)]
    ends = [*(a for a, b in pairwise(ordered) if b != a + 1), ordered[-1]]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
